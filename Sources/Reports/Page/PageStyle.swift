/// The style sheet of a page: light, dark, on a phone, on paper.
enum PageStyle {
    static let text = Palette.variables(":root") + Palette.chartStyle + body + small + paper

    private static let body = """
        *{box-sizing:border-box}
        html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
        body{margin:0 auto;max-width:1280px;padding:28px 32px 48px;background:var(--page);\
        color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
        h1{font-size:30px;line-height:1.15;letter-spacing:-.015em;margin:0 0 6px;overflow-wrap:anywhere}
        h2{font-size:20px;letter-spacing:-.01em;margin:0 0 14px}
        h3{font-size:15px;margin:22px 0 8px;overflow-wrap:anywhere}
        p{max-width:76ch;margin:0 0 12px}
        .lead{color:var(--muted);margin:0}
        nav{display:flex;flex-wrap:wrap;gap:4px 18px;margin:18px 0 0;padding:10px 0;\
        border-top:1px solid var(--rule);font-size:14px}
        a{color:var(--c0);text-decoration:none}
        a:hover{text-decoration:underline}
        section{background:var(--card);border:1px solid var(--rule);border-radius:10px;\
        padding:22px 24px;margin:18px 0}
        .note{border-left:3px solid var(--warn);background:var(--warn-back);color:var(--warn);\
        padding:8px 14px;border-radius:0 6px 6px 0;max-width:none;overflow-wrap:anywhere}
        .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:14px 24px;\
        margin:0}
        .tiles dt{color:var(--muted);font-size:13px}
        .tiles dd{margin:0;font-size:27px;font-weight:600;letter-spacing:-.01em;\
        font-variant-numeric:tabular-nums}
        .scroll{overflow-x:auto;max-width:100%}
        table{border-collapse:collapse;font-size:13.5px;font-variant-numeric:tabular-nums}
        th{font-weight:600;color:var(--muted);text-align:left;vertical-align:bottom}
        th,td{padding:5px 14px 5px 0;border-bottom:1px solid var(--rule)}
        td.word{white-space:nowrap}
        td.text{overflow-wrap:anywhere;min-width:16em}
        .number{text-align:right;white-space:nowrap}
        tbody tr:last-child td{border-bottom:0}
        td:has(.swatch){white-space:nowrap}
        .swatch{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:8px;\
        -webkit-print-color-adjust:exact;print-color-adjust:exact}
        .pair{display:grid;grid-template-columns:minmax(0,1fr) minmax(250px,350px);gap:28px;\
        align-items:start;margin-bottom:26px}
        .pair.alone{grid-template-columns:minmax(0,830px)}
        .pair:last-child{margin-bottom:0}
        figure{margin:0}
        .chart{position:relative;outline:none}
        .chart:focus-visible{outline:2px solid var(--c0);outline-offset:4px;border-radius:4px}
        .chart figcaption,.contours figcaption{font-weight:600;margin-bottom:4px}
        .chart svg,.contours svg{display:block;width:100%;height:auto}
        .contours{margin:0 0 16px}
        .small{display:none}
        .tip{position:absolute;pointer-events:none;visibility:hidden;background:var(--card);\
        color:var(--ink);border:1px solid var(--rule);border-radius:6px;padding:6px 10px;font-size:12.5px;\
        line-height:1.45;box-shadow:0 4px 14px rgb(0 0 0/.16);white-space:nowrap;z-index:2;\
        font-variant-numeric:tabular-nums;max-width:92vw;overflow:hidden}
        .tip b{display:block;font-weight:600}
        .tip i{display:inline-block;width:9px;height:9px;border-radius:3px;margin-right:6px}
        details{margin:8px 0}
        summary{cursor:pointer;color:var(--c0);font-size:13.5px}
        details .scroll{max-height:420px;overflow:auto;margin-top:6px}
        .confusion{margin:0 0 6px}
        .confusion caption{caption-side:bottom;text-align:left;color:var(--muted);padding-top:8px;\
        font-size:13px}
        .confusion th,.confusion td{border:0;padding:0 6px;height:34px;min-width:42px;\
        text-align:center;vertical-align:middle}
        .confusion td{border-radius:4px;-webkit-print-color-adjust:exact;print-color-adjust:exact}
        .confusion th[scope=row]{text-align:right;white-space:nowrap}
        .confusion .sum{color:var(--muted);text-align:right;padding-left:12px;white-space:nowrap}
        .images{display:grid;grid-template-columns:repeat(auto-fill,minmax(96px,1fr));gap:16px 12px;\
        margin:14px 0 22px}
        .images img{display:block;width:84px;height:84px;object-fit:contain;image-rendering:pixelated;\
        border-radius:4px;border:1px solid var(--rule);background:#000}
        .images figcaption{font-size:12px;line-height:1.35;color:var(--muted);margin-top:4px}
        .images figcaption span{display:block}
        .images figcaption span:first-child{color:var(--ink);font-weight:600}
        .picture img{display:block;max-width:100%;height:auto;image-rendering:pixelated}
        .picture figcaption{color:var(--muted);font-size:13px;margin-top:8px;max-width:76ch}
        .shares{display:flex;height:22px;border-radius:5px;overflow:hidden;margin:6px 0 12px;gap:2px;\
        max-width:830px;-webkit-print-color-adjust:exact;print-color-adjust:exact}
        .shares span{display:block;min-width:1px}
        footer{color:var(--muted);font-size:13px;margin-top:22px;overflow-wrap:anywhere}

        """

    private static let small = """
        @media (max-width:900px){
        .pair{grid-template-columns:minmax(0,1fr);gap:14px}
        }
        @media (max-width:600px){
        body{padding:18px 12px 32px}
        h1{font-size:24px}
        section{padding:16px 14px;border-radius:8px}
        .wide{display:none}
        .small{display:block}
        .tiles{grid-template-columns:1fr 1fr}
        .tiles dd{font-size:22px}
        .confusion th,.confusion td{min-width:30px;height:30px;padding:0 3px;font-size:12px}
        .images{grid-template-columns:repeat(auto-fill,minmax(76px,1fr));gap:12px 8px}
        .images img{width:72px;height:72px}
        th,td{padding-right:10px}
        }

        """

    private static let paper = """
        @media print{
        body{max-width:none;padding:0;font-size:11pt;background:none}
        section{border:0;padding:0;margin:0 0 22px;background:none}
        nav,.tip,details:not([open]){display:none}
        .wide{display:block}
        .small{display:none}
        .pair{grid-template-columns:minmax(0,1fr) 230px;gap:16px}
        figure,tr,.tiles,.shares{break-inside:avoid}
        h2,h3,figcaption{break-after:avoid}
        table{font-size:9pt}
        .scroll,details .scroll{overflow:visible;max-height:none}
        }

        """
}
