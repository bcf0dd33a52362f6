// Two comforts for the sandbox's pages, which work without them: a running countdown, and going on when the code on the
// cashier page was paid by phone.
"use strict";

function pad(number) {
  return String(number).padStart(2, "0");
}

for (const clock of document.querySelectorAll(".countdown")) {
  const ahead = Number(clock.dataset.now) * 1000 - Date.now();
  const end = Number(clock.dataset.expires) * 1000;
  const tick = () => {
    const left = Math.max(0, Math.floor((end - Date.now() - ahead) / 1000));
    const hours = Math.floor(left / 3600);
    const days = Math.floor(hours / 24);
    const rest = `${pad(Math.floor(left / 60) % 60)}:${pad(left % 60)}`;
    clock.textContent = days > 1 ? `${days} d ${hours % 24} h` : hours > 0 ? `${hours}:${rest}` : rest;
  };
  tick();
  setInterval(tick, 1000);
}

const cashier = document.querySelector("[data-poll]");
if (cashier) {
  const ask = async () => {
    try {
      const answer = await fetch(cashier.dataset.poll, { headers: { accept: "application/json" } });
      const now = await answer.json();
      if (now.go) {
        location.assign(now.go);
        return;
      }
      if (now.state !== "open") {
        location.reload();
        return;
      }
    } catch {
      // The sandbox is away for a moment; ask again.
    }
    setTimeout(ask, 1000);
  };
  setTimeout(ask, 1000);
}
