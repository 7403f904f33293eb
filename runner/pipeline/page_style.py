"""How the page of a verdict looks: light and dark, wide, narrow and on paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1c2024; --faint: #5b6470; --line: #d9dde3; --panel: #f5f7f9;
  --good: #17693a; --good-bg: #e2f4e8; --bad: #b3261e; --bad-bg: #fdeceb;
  --open: #7a5b00; --open-bg: #fbf1d4; --note: #2f4a68; --note-bg: #e6eef7;
  --reference: #1763b6; --now: #c2570c;
}
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171a; --ink: #e6e9ec; --faint: #9aa4af; --line: #343a41; --panel: #1c2125;
  --good: #7fd8a0; --good-bg: #12301f; --bad: #ff9a92; --bad-bg: #3d1614;
  --open: #f0cf6a; --open-bg: #352a08; --note: #a9c7e8; --note-bg: #17283a;
  --reference: #6db1ff; --now: #ff9f5a;
} }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
header, main, footer { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2rem; }
.verdict { border-left: .5rem solid; border-radius: .4rem; padding: 1rem 1.25rem; }
.verdict h1 { margin: 0; font-size: 1.7rem; letter-spacing: .02em; line-height: 1.25; }
.verdict p { margin: .25rem 0 0; color: var(--ink); }
.good { color: var(--good); background: var(--good-bg); }
.bad { color: var(--bad); background: var(--bad-bg); }
.open { color: var(--open); background: var(--open-bg); }
.note { color: var(--note); background: var(--note-bg); }
.verdict { border-color: currentColor; }
dl.runs { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: 1rem 0; }
dl.runs dt { color: var(--faint); } dl.runs dd { margin: 0; overflow-wrap: anywhere; }
ul.counts { display: flex; flex-wrap: wrap; gap: .5rem; list-style: none; padding: 0;
            margin: 1rem 0; }
ul.counts li { padding: .15rem .7rem; border-radius: 1rem; font-weight: 600; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
code { font: .92em ui-monospace, "SF Mono", Menlo, Consolas, monospace; overflow-wrap: anywhere; }
ul.reasons { padding-left: 1.2rem; } ul.reasons li { overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th { font-weight: 600; color: var(--faint); font-size: .85rem; }
th, td { text-align: left; vertical-align: top; padding: .45rem .9rem .45rem 0;
         border-bottom: 1px solid var(--line); }
tbody th { color: inherit; font-size: inherit; overflow-wrap: anywhere; }
tbody tr:hover { background: var(--panel); }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
td.text { overflow-wrap: anywhere; }
small { color: var(--faint); } th small { font-weight: 400; }
.chip { display: inline-block; padding: 0 .55rem; border-radius: .8rem; white-space: nowrap;
        font-size: .87rem; font-weight: 600; }
.chip + small { display: block; margin-top: .15rem; overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr));
         gap: 1.25rem; }
figure { margin: 0; padding: .6rem .8rem .2rem; border: 1px solid var(--line);
         border-radius: .5rem; }
figcaption { font-weight: 600; overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--faint); font-size: 12px; font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--line); }
svg polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
svg polyline.reference { stroke: var(--reference); stroke-width: 3; }
svg polyline.now { stroke: var(--now); stroke-dasharray: 6 4; }
svg circle.reference { fill: var(--reference); } svg circle.now { fill: var(--now); }
.key { display: flex; gap: 1.5rem; margin: 0 0 .8rem; color: var(--faint); }
.key span::before { content: ""; display: inline-block; width: 1.8rem; margin-right: .5rem;
                    vertical-align: middle; border-top: 3px solid var(--reference); }
.key span + span::before { border-top: 2px dashed var(--now); }
ol.causes { list-style: none; counter-reset: cause; padding: 0; margin: 0; }
ol.causes > li { counter-increment: cause; display: grid; grid-template-columns: 2rem 1fr;
                 padding: .6rem 0; border-bottom: 1px solid var(--line); }
ol.causes > li::before { content: counter(cause); color: var(--faint); font-weight: 600; }
ol.causes b { overflow-wrap: anywhere; }
.before, .after { overflow-wrap: anywhere; padding-bottom: .1rem; border-bottom: 2px solid; }
.before { border-color: var(--reference); } .after { border-bottom: 2px dashed var(--now); }
ol.causes p { margin: .1rem 0; }
.bisection { padding: .7rem 1rem; border-radius: .4rem; margin: 1rem 0; }
details { margin: 1rem 0; } summary { cursor: pointer; color: var(--faint); }
footer { margin-top: 3rem; padding-bottom: 2rem; color: var(--faint); font-size: .87rem; }
@media (max-width: 44rem) {
  dl.runs { grid-template-columns: 1fr; } dl.runs dd { margin-bottom: .5rem; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td, tbody th { display: block; }
  tr { border-bottom: 1px solid var(--line); padding: .6rem 0; }
  td, tbody th { border: 0; padding: .1rem 0; }
  td[data-label]:not(:empty)::before { content: attr(data-label) " "; color: var(--faint);
                                       display: inline-block; min-width: 6.5rem; }
  td.number { white-space: normal; overflow-wrap: anywhere; }
}
@media print { body { font-size: 11px; } header { padding-top: 0; }
               figure, tr, ol.causes > li { break-inside: avoid; } }
"""
