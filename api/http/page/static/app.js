// The page: its parts put together.

import { Chat } from "./chat.js";
import { ChatList } from "./chat-list.js";
import { byId } from "./dom.js";
import { Live } from "./live.js";
import { getJson, withKey } from "./server.js";
import { Settings } from "./settings.js";
import { load, save } from "./store.js";
import { startTheme } from "./theme.js";

const MOST_PROMPT_PX = 240;

function startComposer(chat) {
  const prompt = byId("prompt");
  const fit = () => {
    prompt.style.height = "auto";
    prompt.style.height = `${Math.min(prompt.scrollHeight, MOST_PROMPT_PX)}px`;
  };
  const send = () => {
    if (chat.send(prompt.value)) prompt.value = "";
    fit();
  };
  const hasKeys = matchMedia("(pointer: fine)").matches; // on a phone Enter makes a new line
  prompt.oninput = fit;
  prompt.onkeydown = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || !hasKeys) return;
    event.preventDefault();
    send();
  };
  byId("composer").onsubmit = (event) => {
    event.preventDefault();
    send();
  };
  byId("stop").onclick = () => chat.stop();
}

function startSettings() {
  byId("toggle-settings").onclick = () => {
    const settings = byId("settings");
    settings.hidden = !settings.hidden;
    byId("toggle-settings").ariaExpanded = String(!settings.hidden);
  };
}

function startTabs(live) {
  const show = (view) => {
    for (const each of ["chat", "live"]) {
      byId(`${each}-view`).hidden = each !== view;
      byId(`tab-${each}`).ariaPressed = String(each === view);
    }
    byId("toggle-settings").hidden = byId("toggle-chats").hidden = view !== "chat";
    live.isShown = view === "live";
    save("view", view);
  };
  byId("tab-chat").onclick = () => show("chat");
  byId("tab-live").onclick = () => show("live");
  show(load("view", "chat") === "live" ? "live" : "chat");
}

async function showModel() {
  try {
    const { data } = await withKey(() => getJson("v1/models"));
    byId("model-name").textContent = data[0].id.split("/").at(-1);
  } catch (error) {
    byId("model-name").textContent = error.message;
  }
}

startTheme();
const list = new ChatList();
const chat = new Chat(new Settings(), () => list.show());
list.start(chat);
startComposer(chat);
startSettings();
startTabs(new Live());
showModel();
