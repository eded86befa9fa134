// The server's API. Paths are relative, so that the page also works behind a proxy's prefix.

import { askForKey, keyHeaders } from "./key.js";
import { readEvents } from "./events.js";

export class ServerError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Throws ServerError where the server refuses, TypeError where it cannot be reached. */
export async function getJson(path) {
  return (await request(path)).json();
}

/** The chunks of a streamed answer. Asks for a key where the server wants one. */
export async function* streamChat(body, signal) {
  const options = { method: "POST", body: JSON.stringify(body), signal };
  const response = await withKey(() => request("v1/chat/completions", options));
  for await (const data of readEvents(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new ServerError(chunk.error.message, 0);
    yield chunk;
  }
}

/** Tries once more with what the dialog gave. */
export async function withKey(attempt) {
  try {
    return await attempt();
  } catch (error) {
    if (error.status !== 401 || !(await askForKey())) throw error;
    return attempt();
  }
}

async function request(path, options = {}) {
  const headers = { "content-type": "application/json", ...keyHeaders() };
  const response = await fetch(path, { ...options, headers, cache: "no-store" });
  if (!response.ok) throw await errorOf(response);
  return response;
}

async function errorOf(response) {
  const text = await response.text();
  return new ServerError(messageIn(text) ?? `The server answered ${response.status}.`, response.status);
}

function messageIn(text) {
  try {
    return JSON.parse(text).error?.message;
  } catch {
    return undefined;
  }
}
