// What pages do beyond links and forms: copy a command, and keep what is live up to date. Everything works without.

async function copy(text) {
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Plain HTTP has no clipboard: what is selected can be copied all the same.
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser does not copy");
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const word = button.textContent;
  try {
    await copy(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy";
  }
  setTimeout(() => (button.textContent = word), 1500);
});

function showButtons(within) {
  for (const button of within.querySelectorAll("button[data-copy]")) button.hidden = false;
}

// A live part is asked for again with its whole page: the server has no other form of it. A page that turned into another one is shown as a whole.
async function renew() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store" });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(part.id);
    if (!next) return location.reload();
    if (next.innerHTML !== part.innerHTML) {
      part.replaceChildren(...next.childNodes);
      showButtons(part);
    }
  }
}

showButtons(document);
const live = document.querySelector("[data-live]");
if (live) {
  const pause = Number(live.dataset.live) * 1000;
  const again = () => renew().catch(() => {}).finally(() => setTimeout(again, pause));
  setTimeout(again, pause);
}
