// Vercel's AI SDK, with its provider for compatible servers and with the chat models of its OpenAI provider.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, Output, streamText, tool } from "ai";
import * as forms from "./forms.js";

const { baseURL, apiKey } = forms;
const compatible = createOpenAICompatible({
  name: "local",
  baseURL,
  apiKey,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const providers = {
  "openai-compatible": compatible,
  openai: createOpenAI({ baseURL, apiKey }).chat,
};
const tools = {
  get_weather: tool({
    description: "Tells the weather in a city.",
    inputSchema: forms.weather,
    execute: forms.getWeather,
  }),
};

for (const [name, provider] of Object.entries(providers)) {
  const options = { model: provider(forms.model), maxRetries: 0, maxOutputTokens: 80 };
  const text = { ...options, prompt: forms.question, maxOutputTokens: 10, temperature: 0 };
  const structured = {
    ...options,
    prompt: forms.animalQuestion,
    output: Output.object({ schema: forms.animal }),
  };
  const weather = { ...options, prompt: forms.weatherQuestion, tools, toolChoice: { type: "tool", toolName: "get_weather" } };

  test(`AI SDK, ${name}`, { concurrency: true }, async (t) => {
    const tests = [
      t.test("whole and streamed answers agree", async () => {
        const whole = await generateText(text);
        const stream = streamText(text);
        assert.ok(whole.text);
        assert.equal(await stream.text, whole.text);
        assert.ok(whole.usage.outputTokens > 0);
        assert.equal((await stream.usage).outputTokens, whole.usage.outputTokens);
      }),
      t.test("structured answer", async () => {
        forms.animal.parse((await generateText(structured)).output);
      }),
      t.test("streamed structured answer", async () => {
        const stream = streamText(structured);
        let partial;
        for await (partial of stream.partialOutputStream);
        forms.animal.parse(partial);
      }),
      t.test("tool call", async () => {
        const { toolCalls, toolResults, finishReason } = await generateText(weather);
        assert.equal(toolCalls[0].toolName, "get_weather");
        forms.weather.parse(toolCalls[0].input);
        assert.match(toolResults[0].output, /21 degrees/);
        assert.equal(finishReason, "tool-calls");
      }),
      t.test("streamed tool call", async () => {
        const results = await streamText(weather).toolResults;
        forms.weather.parse(results[0].input);
        assert.match(results[0].output, /21 degrees/);
      }),
      t.test("errors", async () => {
        await assert.rejects(generateText({ ...text, temperature: 9 }), (error) => {
          assert.ok(APICallError.isInstance(error));
          assert.equal(error.statusCode, 400);
          assert.equal(error.data.error.param, "temperature");
          return true;
        });
      }),
    ];
    await Promise.all(tests);
  });
}
