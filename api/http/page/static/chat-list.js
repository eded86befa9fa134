// The chats that this browser keeps.

import { button, byId, el } from "./dom.js";
import { loadChat, loadChats, newChat, removeChat, titleOf } from "./store.js";

/** Keeps the list beside `chat`, which is the one that is shown. */
export class ChatList {
  constructor() {
    byId("new-chat").onclick = () => this.#open(newChat());
    byId("toggle-chats").onclick = () => this.#unfold(!document.body.classList.contains("shows-chats"));
  }

  start(chat) {
    this.chat = chat;
    chat.open(loadChats()[0]);
  }

  show() {
    const shown = this.chat?.chat;
    byId("chat-list").replaceChildren(...loadChats().map((each) => this.#item(each, each.id === shown?.id)));
  }

  #item(kept, isShown) {
    // The one on the screen is not read again: an answer may be coming into it.
    const open = button(titleOf(kept), () => (isShown ? this.#unfold(false) : this.#openKept(kept.id)), { className: "title" });
    const remove = button("×", () => this.#remove(kept, isShown), { title: "Delete", ariaLabel: "Delete this chat" });
    return el("li", { className: isShown ? "shown" : "" }, open, remove);
  }

  /** Read again: since the list was made, an answer may have ended. */
  #openKept(id) {
    this.#open(this.chat.runningChat(id) ?? loadChat(id) ?? newChat());
  }

  #open(chat) {
    this.#unfold(false);
    this.chat.open(chat);
  }

  #remove(kept, isShown) {
    if (!confirm(`Delete "${titleOf(kept)}"?`)) return;
    this.chat.forget(kept.id);
    removeChat(kept);
    if (isShown) this.chat.open(loadChats()[0]);
    else this.show();
  }

  #unfold(isShown) {
    document.body.classList.toggle("shows-chats", isShown);
    byId("toggle-chats").ariaExpanded = String(isShown);
  }
}
