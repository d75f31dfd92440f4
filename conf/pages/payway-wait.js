// The page that waits for the outcome of an order: asks with growing pauses, and goes on when there is somewhere to go.
// Asking changes nothing. Without this script the page fetches itself again (head.shtml, PAGE_REFRESH).
(function () {
    'use strict';

    const root = document.getElementById('payway-wait');
    if (!root) return;
    const status = document.getElementById('payway-status');
    const began = Date.now();
    const WAITING = ['placing', 'unknown', 'manual'];
    let pause = 2000;
    let timer = null;
    let asking = false;
    let gone = false;

    // Only what is new is said: a live region that repeats itself is noise.
    function say(name) {
        if (status.dataset.said === name) return;
        const template = root.querySelector(`template[data-say="${name}"]`);
        status.dataset.said = name;
        status.replaceChildren(template ? template.content.cloneNode(true) : '');
    }

    function follow(purchase) {
        const next = purchase.next ? new URL(purchase.next, location.href) : null;
        const elsewhere = next && /^https?:$/.test(next.protocol) && next.href !== location.href;
        if (WAITING.includes(purchase.state) && !elsewhere) {
            // The words on the page are of the state that it was drawn in.
            if (purchase.state === root.dataset.state) return false;
            location.reload();
            return true;
        }
        say('done');
        if (elsewhere) location.replace(next.href);
        else location.reload();
        return true;
    }

    async function ask() {
        const stop = new AbortController();
        const limit = setTimeout(() => stop.abort(), 15000);
        try {
            const answer = await fetch(root.dataset.stateUrl, {
                credentials: 'same-origin', cache: 'no-store', headers: { Accept: 'application/json' }, signal: stop.signal,
            });
            return answer.ok ? await answer.json() : null;
        } catch (error) {
            return null;
        } finally {
            clearTimeout(limit);
        }
    }

    async function turn() {
        clearTimeout(timer);
        if (asking || gone) return;
        asking = true;
        const purchase = await ask();
        asking = false;
        gone = Boolean(purchase && purchase.state && follow(purchase));
        if (gone) return;
        if (!purchase) say('offline');
        else if (Date.now() - began > 30000) say('long');
        else say('');
        timer = setTimeout(turn, pause);
        pause = Math.min(pause * 1.5, 30000);
    }

    // Whoever comes back to the tab wants to know now; whoever comes by the Back button does not want an old answer.
    document.addEventListener('visibilitychange', () => { if (document.visibilityState === 'visible') turn(); });
    window.addEventListener('pageshow', (event) => {
        if (!event.persisted) return;
        gone = false;
        turn();
    });

    timer = setTimeout(turn, pause);
}());
