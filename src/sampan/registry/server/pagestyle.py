"""How the registry's pages look: light and dark, narrow and wide."""

STYLE = (
    ":root{color-scheme:light dark;"
    "--ink:#1c2733;--paper:#fff;--line:#dde3e8;--link:#0b5fa5;--soft:#f3f6f8;--dim:#5b6975}"
    "@media(prefers-color-scheme:dark){"
    ":root{--ink:#dbe2e8;--paper:#15191e;--line:#333c45;--link:#7cb8ee;--soft:#1e242b;--dim:#93a1ad}}"
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:64rem;padding:0 1rem;"
    "color:var(--ink);background:var(--paper)}"
    "nav{min-height:1.5em;color:var(--dim)}h1{font-size:1.6rem;margin:.2rem 0 1rem;overflow-wrap:anywhere}"
    "h2{font-size:1.15rem;margin:1.6rem 0 .5rem}"
    "a{color:var(--link);text-decoration:none}a:hover{text-decoration:underline}"
    "table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.35rem .7rem;"
    "border-bottom:1px solid var(--line)}th{font-weight:600;color:var(--dim)}"
    "tbody tr:hover{background:var(--soft)}.n{text-align:right;white-space:nowrap}"
    "code,pre{font:13px/1.5 ui-monospace,monospace;overflow-wrap:anywhere}"
    "pre{background:var(--soft);padding:.6rem .8rem;border-radius:4px;overflow-x:auto;white-space:pre-wrap}"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.2rem}dt{color:var(--dim)}dd{margin:0}"
)
