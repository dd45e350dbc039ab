/// The script of a page: values under the pointer, or under a cursor that the arrow keys move.
/// The page says all without it.
enum PageScript {
    static let text = """
        'use strict';
        for (const figure of document.querySelectorAll('figure.chart')) {
          const chart = JSON.parse(figure.querySelector('script').textContent);
          const tip = figure.querySelector('.tip');
          const places = [...new Set(chart.series.flatMap(s => s.points.map(p => p[0])))].sort((a, b) => a - b);
          if (!places.length) continue;
          const byPlace = chart.series.map(s => new Map(s.points.map(p => [p[0], p])));
          let current = -1;
          const show = value => chart.share ? (100 * value).toFixed(2) + ' %'
            : value === 0 ? '0' : Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6
              ? value.toExponential(3) : String(+value.toPrecision(4));
          const drawing = () => [...figure.querySelectorAll('svg')].find(svg => svg.getBoundingClientRect().width > 0);
          const hide = () => {
            tip.style.visibility = 'hidden';
            for (const line of figure.querySelectorAll('.cursor')) line.style.visibility = 'hidden';
            current = -1;
          };
          const frame = svg => {
            const [left, right, top] = svg.dataset.plot.split(' ').map(Number);
            const [low, high, kind] = svg.dataset.x.split(' ');
            const scale = kind === 'log' ? Math.log : v => v;
            const [from, to] = [scale(+low), scale(+high)];
            return { left, right, top, at: v => left + (right - left) * (scale(v) - from) / (to - from) };
          };
          const select = index => {
            const svg = drawing();
            if (!svg) return;
            current = Math.max(0, Math.min(places.length - 1, index));
            const place = places[current], f = frame(svg), x = f.at(place);
            const line = svg.querySelector('.cursor');
            line.setAttribute('x1', x);
            line.setAttribute('x2', x);
            line.style.visibility = 'visible';
            tip.replaceChildren();
            const title = document.createElement('b');
            title.textContent = chart.names ? chart.names[place]
              : chart.x + ' ' + place.toLocaleString('en').replaceAll(',', '\\u202f');
            tip.append(title);
            chart.series.forEach((s, i) => {
              const point = byPlace[i].get(place);
              if (!point) return;
              const row = document.createElement('div'), mark = document.createElement('i');
              mark.style.background = 'var(--c' + s.color + ')';
              row.append(mark, s.name + '  ' + show(point[1])
                + (point.length > 2 ? ' (' + show(point[2]) + ' … ' + show(point[3]) + ')' : ''));
              tip.append(row);
            });
            const box = svg.getBoundingClientRect(), outer = figure.getBoundingClientRect();
            const zoom = box.width / svg.viewBox.baseVal.width;
            const spot = box.left - outer.left + x * zoom;
            const room = Math.max(0, outer.width - tip.offsetWidth);
            const right = spot + 14 <= room;
            tip.style.left = Math.min(room, Math.max(0, right ? spot + 14 : spot - 14 - tip.offsetWidth)) + 'px';
            tip.style.top = (box.top - outer.top + f.top * zoom + 6) + 'px';
            tip.style.visibility = 'visible';
          };
          figure.addEventListener('pointermove', event => {
            const svg = drawing();
            if (!svg) return;
            const box = svg.getBoundingClientRect();
            if (event.clientY < box.top || event.clientY > box.bottom) return hide();
            const x = (event.clientX - box.left) * svg.viewBox.baseVal.width / box.width, f = frame(svg);
            if (x < f.left - 8 || x > f.right + 8) return hide();
            let nearest = 0;
            places.forEach((place, i) => {
              if (Math.abs(f.at(place) - x) < Math.abs(f.at(places[nearest]) - x)) nearest = i;
            });
            if (nearest !== current) select(nearest);
          });
          figure.addEventListener('pointerleave', hide);
          figure.addEventListener('blur', hide);
          figure.addEventListener('keydown', event => {
            const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
            if (move) {
              select(current < 0 ? (move > 0 ? 0 : places.length - 1) : current + move);
              event.preventDefault();
            } else if (event.key === 'Escape') hide();
          });
        }

        """
}
