// OpenAI's package for JavaScript.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import * as forms from "./forms.js";

const client = new OpenAI({ baseURL: forms.baseURL, apiKey: forms.apiKey, maxRetries: 0 });
const ask = (content) => [{ role: "user", content }];
const text = { model: forms.model, messages: ask(forms.question), max_tokens: 10, temperature: 0 };
const animalRequest = {
  model: forms.model,
  messages: ask(forms.animalQuestion),
  response_format: zodResponseFormat(forms.animal, "animal"),
  max_tokens: 80,
};
const weatherRequest = {
  model: forms.model,
  messages: ask(forms.weatherQuestion),
  tools: [zodFunction({ name: "get_weather", parameters: forms.weather })],
  tool_choice: { type: "function", function: { name: "get_weather" } },
  max_tokens: 80,
};

test("openai for node", { concurrency: true }, async (t) => {
  const tests = [
    t.test("whole and streamed answers agree", async () => {
      const whole = await client.chat.completions.create(text);
      const stream = await client.chat.completions.create({
        ...text,
        stream: true,
        stream_options: { include_usage: true },
      });
      let content = "";
      let usage = null;
      for await (const chunk of stream) {
        content += chunk.choices[0]?.delta.content ?? "";
        usage = chunk.usage;
      }
      assert.ok(content);
      assert.equal(content, whole.choices[0].message.content);
      assert.equal(usage.total_tokens, whole.usage.total_tokens);
      assert.ok(whole._request_id);
    }),
    t.test("structured answer", async () => {
      const answer = await client.chat.completions.parse(animalRequest);
      forms.animal.parse(answer.choices[0].message.parsed);
    }),
    t.test("streamed structured answer", async () => {
      const answer = await client.chat.completions.stream(animalRequest).finalChatCompletion();
      forms.animal.parse(answer.choices[0].message.parsed);
    }),
    t.test("tool call", async () => {
      const answer = await client.chat.completions.parse(weatherRequest);
      const [call] = answer.choices[0].message.tool_calls;
      assert.equal(call.function.name, "get_weather");
      forms.weather.parse(call.function.parsed_arguments);
    }),
    t.test("streamed tool call", async () => {
      const answer = await client.chat.completions.stream(weatherRequest).finalChatCompletion();
      const [call] = answer.choices[0].message.tool_calls;
      assert.ok(call.id);
      forms.weather.parse(call.function.parsed_arguments);
    }),
    t.test("a stream that is left early", async () => {
      const stream = await client.chat.completions.create({ ...text, max_tokens: 400, stream: true });
      for await (const chunk of stream) {
        assert.ok(chunk.id);
        break;
      }
    }),
    t.test("errors", async () => {
      await assert.rejects(client.chat.completions.create({ ...text, temperature: 9 }), (error) => {
        assert.ok(error instanceof OpenAI.BadRequestError);
        assert.equal(error.param, "temperature");
        assert.ok(error.requestID);
        return true;
      });
      await assert.rejects(client.models.retrieve("gpt-9"), OpenAI.NotFoundError);
    }),
    t.test("models", async () => {
      const names = [];
      for await (const model of client.models.list()) names.push(model.id);
      assert.ok(names.includes(forms.model));
      for (const name of names) assert.equal((await client.models.retrieve(name)).id, name);
    }),
  ];
  await Promise.all(tests);
});
