"use strict";
(() => {
  const $ = id => document.getElementById(id);
  const results = $("results"), loginPage = results.dataset.login;

  // say adds one line: whether it works, what was tried, what came of it, and what to do.
  function say(kind, title, text, todo, link) {
    const words = { ok: "works", fails: "fails", look: "look" };
    const li = document.createElement("li");
    li.className = kind;
    const mark = document.createElement("span");
    mark.className = "mark";
    mark.textContent = words[kind];
    const body = document.createElement("div");
    body.append(Object.assign(document.createElement("b"), { textContent: title }));
    body.append(Object.assign(document.createElement("div"), { className: "text", textContent: text }));
    if (todo) {
      const line = Object.assign(document.createElement("div"), { className: "do", textContent: todo + " " });
      if (link) line.append(Object.assign(document.createElement("a"), { href: link, textContent: link }));
      body.append(line);
    }
    li.append(mark, body);
    results.append(li);
    return kind !== "fails";
  }

  const isLoopback = host => host === "localhost" || host.endsWith(".localhost") || /^127\.\d+\.\d+\.\d+$/.test(host) || host === "[::1]";
  const isAddress = host => /^[\d.]+$/.test(host) || host.startsWith("[");

  // sameSite: browsers compare the scheme and the registrable domain. Which that is only they know; two labels are a guess.
  function sameSite(ui) {
    if (ui.hostname === location.hostname) return ui.protocol === location.protocol;
    if (isAddress(ui.hostname) || isAddress(location.hostname) || isLoopback(ui.hostname) || isLoopback(location.hostname)) return false;
    const domain = host => host.split(".").slice(-2).join(".");
    return ui.protocol === location.protocol && domain(ui.hostname) === domain(location.hostname);
  }

  function address(ui) {
    const here = location.origin;
    if (ui.protocol === "https:" && location.protocol === "http:" && !isLoopback(location.hostname))
      return say("fails", "Address", `A page on https may not ask ${here}: browsers block mixed content.`, "Serve this server over https, and give the Web UI that address.");
    if (!window.isSecureContext)
      return say("fails", "Address", `${here} is neither https nor this computer.`, "Serve this server over https: browsers keep no login on a connection that anybody can read.");
    if (!loginPage)
      return location.protocol === "http:"
        ? say("fails", "Address", `The Web UI passes its token to https only, and ${here} is http.`, "Serve this server over https, or set up login in its configuration.")
        : say("ok", "Address", `${here} is https, so the Web UI passes its token.`);
    if (!sameSite(ui)) {
      const swap = isLoopback(ui.hostname) && isLoopback(location.hostname);
      return say(swap ? "fails" : "look", "Address", `${ui.origin} and ${here} are not on the same site, so browsers do not send your login along.`,
        swap ? `Call both by the same name: open the Web UI at ${ui.protocol}//${location.hostname}:${ui.port}, or give it this server's address with ${ui.hostname}.`
             : "Give this server a name under the same domain as the Web UI, with the same scheme. (This page guesses domains by their last two parts.)");
    }
    return say("ok", "Address", `${ui.origin} and ${here} are on the same site: browsers send your login along.`);
  }

  async function readiness() {
    let ready;
    try {
      const resp = await fetch("/readyz", { cache: "no-store", redirect: "manual" });
      if (resp.type === "opaqueredirect") throw "redirect";
      ready = await resp.json();
    } catch (e) {
      return say("fails", "Server", "It does not answer as this server does.", e === "redirect" ? "A login proxy in between redirects: let requests for this server pass." : "Something in between answers instead: see its log.");
    }
    if (ready.audit === false)
      return say("fails", "Server", "The audit log cannot be written, so nothing is decoded.", "Tell the administrator: its disk is full or gone.");
    if (ready.stopping)
      return say("fails", "Server", "It is stopping.", "Try again in a minute.");
    if (ready.configurationStale)
      return say("look", "Server", "It works, with an older configuration: the files hold something wrong.", "Tell the administrator: the server's log says what.");
    return say("ok", "Server", "It has its keys and can write its audit log.");
  }

  // way: what stands in between must let the Web UI's kind of request through, without a login of its own.
  async function way() {
    for (const method of ["OPTIONS", "POST"]) {
      let resp;
      try {
        resp = await fetch("/decode?preserveStorageRefs=true", {
          method, credentials: "omit", redirect: "manual", cache: "no-store",
          headers: method === "POST" ? { "Content-Type": "application/json", "X-Namespace": $("namespace").value } : {},
          body: method === "POST" ? '{"payloads":[]}' : undefined,
        });
      } catch {
        return say("fails", "Way", `A ${method} request got no answer.`, "A proxy, firewall or extension of the browser stops it.");
      }
      if (resp.type === "opaqueredirect")
        return say("fails", "Way", `Something in between redirects ${method} requests, as a login proxy does.`, method === "OPTIONS" ? "Let OPTIONS pass: a preflight carries no login." : "Let requests for this server pass: it asks who they are from itself.");
      if (!resp.headers.get("X-Request-Id"))
        return say("fails", "Way", `Something in between answers ${method} requests, with status ${resp.status}.`, "Let the server answer: a proxy must pass OPTIONS and POST on, and the header X-Request-Id back.");
    }
    return say("ok", "Way", "OPTIONS and POST requests reach the server.");
  }

  function preflight(ui, p) {
    if (p.origin !== ui.origin)
      return say("fails", "Preflight", `The server does not know ${ui.origin}.`, `Add "${ui.origin}" to cors.origins in its configuration, exactly so.`);
    if (loginPage && !p.credentials)
      return say("fails", "Preflight", "The server does not let pages send cookies.", "Set cors.allowCredentials: true in its configuration.");
    return say("ok", "Preflight", `Pages of ${ui.origin} may ask.`);
  }

  function login(d, cookie) {
    if (!loginPage)
      return say("look", "Login", "The Web UI passes its own token, which this page does not have.", "Turn on “Pass access token” in the Web UI. With a token at hand, signet-server doctor tries it.") && false;
    const why = {
      "missing-token": cookie ? "Your browser sent a cookie, but no login." : "Your browser sent no login.",
      "expired-session": "Your login has expired.", "ended-session": "You have logged out.",
      "malformed-session": "Your login is from another server, or of an earlier configuration.",
    }[d.reason];
    if (why) return say("fails", "Login", why, "Log in at", loginPage);
    if (d.reason === "sessions-unavailable")
      return say("fails", "Login", "The server cannot read which logins were ended, so none counts.", "Tell the administrator: the directory login.ended is not there.");
    if (d.status === 401 || d.error === "unauthenticated")
      return say("fails", "Login", "Your login was not accepted.", "Log in at", loginPage);
    return say("ok", "Login", d.caller ? `You are ${d.caller}.` : "Your browser sends your login along.");
  }

  function decode(d, p, namespace) {
    const opens = ["not-authentic", "key-unavailable", "key-destroyed"];
    if (opens.includes(d.reason) || (["unreadable", "unavailable"].includes(d.error) && p.served))
      return say("ok", "Decode", `You may decode in namespace ${namespace}. The made-up payload does not open, as it should.`);
    if (!p.served)
      return say("fails", "Decode", `This server does not serve a namespace ${namespace}.`, "Is it spelled as in the Web UI? Otherwise add it to namespaces in the server's configuration.");
    if (d.reason)
      return say("fails", "Decode", d.message + (d.request ? ` (${d.reason}, request ${d.request})` : ""), d.contact || "");
    if (d.error === "denied")
      return say("fails", "Decode", `No rule of the policy lets you decode in namespace ${namespace}.`, `Ask for access. The server's log says more: request ${d.request}.`);
    return say("fails", "Decode", `The server answers with status ${d.status}${d.error ? ", " + d.error : ""}.`, `Its log says why: request ${d.request}.`);
  }

  async function run() {
    results.replaceChildren();
    let ui;
    try {
      ui = new URL($("origin").value.trim());
      if (!/^https?:$/.test(ui.protocol)) throw "scheme";
    } catch {
      say("fails", "Address", "That is not the address of a Web UI.", "Copy it from the browser, such as https://temporal.example.com.");
      return;
    }
    const namespace = $("namespace").value.trim();
    address(ui);
    if (!await readiness() || !await way()) return;
    const resp = await fetch("/self-test/probe", {
      method: "POST", credentials: "include", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ origin: ui.origin, namespace }),
    });
    if (!resp.ok) {
      say("fails", "Preflight", `The server does not play the Web UI (status ${resp.status}).`, "Does a proxy change the Host header? Let it pass on the name by which browsers reach this server.");
      return;
    }
    const p = await resp.json();
    if (!preflight(ui, p.preflight)) return;
    if (login(p.decode, p.cookie)) decode(p.decode, p, namespace);
    $("snippet").textContent = `fetch("${location.origin}/decode", {method: "POST", credentials: "include", headers: {"Content-Type": "application/json", "X-Namespace": ${JSON.stringify(namespace)}}, body: '{"payloads":[]}'}).then(r => console.log(r.status))`;
    $("console").hidden = !loginPage;
  }

  // The Web UI's address and namespace are taken from the link, or from the page that led here.
  const asked = new URLSearchParams(location.search);
  try {
    const from = new URL(asked.get("ui") || document.referrer);
    if (from.origin !== location.origin) $("origin").value = from.origin;
  } catch { /* it is typed */ }
  if (asked.get("namespace")) $("namespace").value = asked.get("namespace");

  $("form").addEventListener("submit", async e => {
    e.preventDefault();
    $("run").disabled = true;
    try { await run(); } catch (e) {
      say("fails", "Server", "The connection broke: " + e, "Try again; then ask the administrator for the server's log.");
    }
    $("run").disabled = false;
    document.body.dataset.done = String(Number(document.body.dataset.done || 0) + 1);
  });
})();
