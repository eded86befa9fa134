// What each client of this folder asks for; the same as in ../forms.py.
import { z } from "zod";

export const baseURL = process.env.CLIENTS_BASE_URL;
export const apiKey = "none";
export const model = "model";
export const question = "What is the capital of France?";
export const animalQuestion = "Describe a cat.";
export const weatherQuestion = "What is the weather in Paris?";

export const animal = z.object({
  kind: z.enum(["cat", "dog", "bird"]),
  // Exclusive limits reach the schema as exclusiveMinimum and exclusiveMaximum.
  num_legs: z.int().gt(-1).lt(9),
  is_tame: z.boolean(),
});

export const weather = z.object({
  city: z.enum(["Paris", "Oslo"]),
  unit: z.enum(["celsius", "fahrenheit"]),
});

export const getWeather = ({ city, unit }) => `It is 21 degrees ${unit} in ${city}.`;
