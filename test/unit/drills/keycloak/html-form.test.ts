import { describe, expect, it } from "vitest";
import { htmlForms, htmlLinks, htmlText } from "../../../../deploy/drills/keycloak/html-form.ts";

// The login page of Keycloak 26.7.3, shortened.
const PAGE = `<!DOCTYPE html><html><head><title>Sign in to Trial</title><script>if (1 < 2) { f("<form>") }</script></head>
<body><h1>Trial &amp; error</h1>
<form id="kc-form-login" class="c" onsubmit="login.disabled = true; return true;"
      action="http://127.0.0.1:8080/realms/trial/login-actions/authenticate?session_code=a&amp;execution=b&amp;tab_id=c" method="post">
  <input id="username" name="username" value="" type="text" autofocus>
  <input id="password" name="password" type="password" />
  <input type="checkbox" name="rememberMe" value="on">
  <input type="hidden" id="id-hidden-input" name="credentialId" value='x"&#39;&#x41;' />
  <button name="login" id="kc-login" value="Sign In" type="submit">Sign In</button>
</form></body></html>`;

describe("a form of a page", () => {
  it("is read as it would be sent, with what HTML escapes", () => {
    expect(htmlForms(PAGE)).toEqual([
      {
        id: "kc-form-login",
        action:
          "http://127.0.0.1:8080/realms/trial/login-actions/authenticate?session_code=a&execution=b&tab_id=c",
        fields: { username: "", credentialId: `x"'A`, login: "Sign In" },
        names: ["username", "password", "rememberMe", "credentialId", "login"],
      },
    ]);
  });

  it("is none where there is none", () => {
    expect(htmlForms("<p>no form</p>")).toEqual([]);
    expect(htmlForms("")).toEqual([]);
  });
});

describe("a page's links", () => {
  it("are where they lead, in order, those of scripts left out", () => {
    const page = `<a class="x" href="/reset?a=1&amp;b=2">Forgot?</a><script>'<a href="/no">'</script><a name="here">`;
    expect(htmlLinks(page)).toEqual(["/reset?a=1&b=2"]);
    expect(htmlLinks(PAGE)).toEqual([]);
  });
});

describe("a page's text", () => {
  it("is what there is to read", () => {
    expect(htmlText(PAGE)).toBe("Sign in to Trial Trial & error Sign In");
  });
});
