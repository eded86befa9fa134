// What this browser keeps: each chat under a key of its own, so that two tabs do not overwrite each other.

const PREFIX = "mlx-chat.";
const CHAT = `${PREFIX}chat.`;

export function load(name, otherwise) {
  return parsed(PREFIX + name) ?? otherwise;
}

/** Returns false where the browser has no room or keeps nothing. */
export function save(name, value) {
  return put(PREFIX + name, value);
}

/** All chats, the newest first. */
export function loadChats() {
  try {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(CHAT));
    return keys.map(parsed).filter((chat) => chat?.id).sort((a, b) => b.changed - a.changed);
  } catch {
    return [];
  }
}

export const loadChat = (id) => parsed(CHAT + id);

export function newChat() {
  // Not crypto.randomUUID(): browsers have that on https and localhost only.
  const id = Date.now().toString(36) + Math.random().toString(36).slice(2, 8);
  return { id, changed: Date.now(), messages: [] };
}

export function saveChat(chat) {
  return chat.messages.length === 0 || put(CHAT + chat.id, chat);
}

export function removeChat(chat) {
  localStorage.removeItem(CHAT + chat.id);
}

export function titleOf(chat) {
  const first = chat.messages.find((message) => message.role === "user");
  return first?.content.trim().split("\n")[0].slice(0, 60) || "New chat";
}

function parsed(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

function put(key, value) {
  try {
    localStorage.setItem(key, JSON.stringify(value));
    return true;
  } catch {
    return false;
  }
}
