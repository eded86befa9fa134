// Something to try in the settings.

export const SCHEMA_EXAMPLE = JSON.stringify(
  {
    type: "object",
    properties: {
      name: { type: "string" },
      age: { type: "integer", minimum: 0, maximum: 120 },
      hobbies: { type: "array", items: { type: "string" }, maxItems: 3 },
    },
    required: ["name", "age", "hobbies"],
    additionalProperties: false,
  },
  null,
  2,
);

export const TOOLS_EXAMPLE = JSON.stringify(
  [
    {
      type: "function",
      function: {
        name: "get_weather",
        description: "The weather in a city",
        parameters: {
          type: "object",
          properties: { city: { type: "string" } },
          required: ["city"],
          additionalProperties: false,
        },
      },
    },
  ],
  null,
  2,
);

export const PROMPTS = [
  "What is the capital of France?",
  "Write a haiku about the sea.",
  "Explain recursion with a short Python example.",
];
