// The purchase page: loads Klarna's widget, asks it for an authorization when the reader orders, and posts that once.
//
//   boot -> sdk-loading -> loading -> ready -> authorizing -> submitting
//            choosing    a way to pay must be chosen first; none is preselected, or Klarna refused the chosen one
//            stuck       nothing came from Klarna; should it come after all, the page goes on
//            over        nothing more can be done here: refused for good, or the session is over
//
// All settings are data-* of #payway-purchase, all words are its templates (say.shtml). Nothing here orders anything and no
// customer token is made: the order is the server's, after the form. A page without data-sdk has its authorization already
// (PURCHASE_RESUME), and its form works without this script.
(function () {
    'use strict';

    const root = document.getElementById('payway-purchase');
    if (!root) return;
    const form = document.getElementById('payway-order');
    const button = form.querySelector('button');
    const token = form.querySelector('[name="klarna_authorization_token"]');
    const status = document.getElementById('payway-status');
    const messages = document.getElementById('payway-messages');
    const fieldset = document.getElementById('payway-categories');
    const categories = Array.from(root.querySelectorAll('[data-category]'), (element) => ({
        element,
        id: element.dataset.category,
        input: element.querySelector('input'),
        widget: element.querySelector('.payway-widget'),
        gone: false,
    }));
    const ends = Date.now() + (root.dataset.expires ? Number(root.dataset.expires) * 1000 : Infinity);
    const IN_APP = /\b(FBAN|FBAV|FB_IAB|Instagram|Messenger|Snapchat|musical_ly|BytedanceWebview|LinkedInApp|Line\/)/;
    const note = `payway-submitted-${root.dataset.purchase}`;

    let state = 'boot';
    let chosen = null; // the category whose widget is shown
    let loading = null; // marks the newest load(): what an older one says late is about another category
    let finalized = false;
    let sent = false; // form.submit() was called: from then on the order may be on its way, and nothing unlocks the page
    let timers = [];

    // ---- what the reader sees ----

    function words(name) {
        const template = root.querySelector(`template[data-say="${name}"]`);
        return template ? template.content.cloneNode(true) : '';
    }

    function to(next) {
        const locked = next === 'authorizing' || next === 'submitting';
        state = next;
        root.dataset.state = next;
        button.disabled = next !== 'ready';
        // Not on an ancestor of the live regions: screen readers hold back what happens inside something busy.
        form.setAttribute('aria-busy', String(locked));
        if (fieldset) {
            fieldset.disabled = locked || next === 'over';
            fieldset.setAttribute('aria-busy', String(locked || next === 'loading' || next === 'sdk-loading'));
        }
    }

    // Progress: said without taking the focus.
    function say(name) {
        status.replaceChildren(name ? words(name) : '');
        status.dataset.said = name || '';
    }

    // A message: said at once, and the focus goes there, since the button that had it may be disabled.
    function complain(name) {
        say('');
        messages.replaceChildren(words(name));
        messages.dataset.said = name;
        messages.focus();
    }

    function hush() {
        messages.replaceChildren();
        messages.dataset.said = '';
    }

    function calm() {
        timers.forEach(clearTimeout);
        timers = [];
    }

    // Says that it takes long, and then that it takes too long.
    function watch(name) {
        calm();
        timers = [setTimeout(() => say('slow'), 10000), setTimeout(() => stick(name), 30000)];
    }

    function stick(name) {
        calm();
        to('stuck');
        complain(name);
    }

    function finish(name) {
        calm();
        loading = null;
        to('over');
        complain(name);
    }

    // ---- Klarna's script and widget ----

    function start() {
        to('sdk-loading');
        say('loading');
        watch('blocked');
        if (window.Klarna && window.Klarna.Payments) {
            init();
            return;
        }
        // Before the script: it reads this once, when it has run, and what is set later is never called.
        window.klarnaAsyncCallback = init;
        const script = document.createElement('script');
        script.src = root.dataset.sdk;
        script.async = true;
        script.onerror = () => stick('blocked');
        document.head.append(script);
    }

    function init() {
        if (state !== 'sdk-loading' && state !== 'stuck') return;
        try {
            window.Klarna.Payments.init({ client_token: root.dataset.clientToken });
        } catch (error) {
            // A new session has a new token; for anything else starting again would not help.
            finish(error && error.name === 'InvalidClientTokenError' ? 'expired' : 'absent');
            return;
        }
        try {
            // Nothing of ours may lie over Klarna's overlay, or talk meanwhile.
            window.Klarna.Payments.on('fullscreenOverlayShown', () => { status.hidden = true; });
            window.Klarna.Payments.on('fullscreenOverlayHidden', () => { status.hidden = false; });
        } catch (error) {
            // Other versions of the script know other events; the purchase needs none.
        }
        calm();
        if (state === 'stuck') hush();
        const first = categories.find((category) => !category.input || category.input.checked);
        if (first) load(first);
        else choose();
    }

    function choose() {
        to('choosing');
        say('choose');
    }

    // The same options to load and to authorize, or Klarna refuses. Without a category Klarna shows all that the session has.
    const way = (category) => (category.id ? { payment_method_category: category.id } : {});

    function load(category) {
        const mine = {};
        const loaded = (answer) => {
            if (loading !== mine) return;
            if (answer && answer.show_form) {
                calm();
                if (state === 'stuck') hush();
                to('ready');
                if (answer.error && answer.error.invalid_fields) complain('fixable');
                else say('ready');
            } else if (state === 'loading') { // a stuck page has said why already
                withdraw('absent');
            }
        };
        loading = mine;
        chosen = category;
        categories.forEach((other) => { other.widget.hidden = other !== category; });
        to('loading');
        say('loading');
        watch('late');
        try {
            window.Klarna.Payments.load({ container: `#${CSS.escape(category.widget.id)}`, ...way(category) }, {}, loaded);
        } catch (error) {
            // Klarna calls back with show_form: false and then throws: this finds `loading` changed, or does the same for it.
            loaded({ show_form: false });
        }
    }

    // Takes the chosen category away. The reader chooses another: never we, it may be credit.
    function withdraw(name) {
        calm();
        loading = null;
        chosen.gone = true;
        chosen.element.hidden = true;
        if (chosen.input) {
            chosen.input.checked = false;
            chosen.input.disabled = true;
        }
        chosen = null;
        if (categories.every((category) => category.gone)) {
            finish(name);
        } else {
            to('choosing');
            complain(`${name}-other`);
        }
    }

    // ---- ordering ----

    // Nothing asynchronous before authorize(): the browser lets Klarna open its window only while it still handles the click.
    function order() {
        if (state !== 'ready' || !chosen) return; // a second click: Klarna would ignore it, and never call back
        let within = true;
        to('authorizing');
        hush();
        say('authorizing');
        calm();
        // BankID can take minutes: a hint, and no end. An authorization that comes late is as good as any.
        timers = [setTimeout(() => say('waiting'), 45000)];
        finalized = false;
        const answered = (answer) => {
            try {
                settle(answer || {}, within);
            } catch (error) {
                recover(error); // Klarna swallows what its callbacks throw: the page would stay locked without a word
            }
        };
        try {
            // Empty data: Payway places the order with its own, and what is said here would have to match.
            window.Klarna.Payments.authorize(way(chosen), {}, answered);
        } catch (error) {
            answered({ approved: false, show_form: false });
        }
        within = false;
    }

    function settle(answer, within) {
        if (state !== 'authorizing') return; // misuse is answered twice: by the callback, and by what is thrown
        if (answer.approved && answer.authorization_token) {
            submit(answer.authorization_token);
            return;
        }
        if (answer.approved && answer.finalize_required && !finalized) {
            finalized = true;
            window.Klarna.Payments.finalize(way(chosen), {}, (last) => {
                try {
                    settle(last || {}, false);
                } catch (error) {
                    recover(error);
                }
            });
            return;
        }
        calm();
        status.hidden = false;
        if (!answer.approved && !answer.show_form && !within && Date.now() < ends) {
            refused();
            return;
        }
        to('ready');
        if (Date.now() >= ends) finish('expired');
        else if (answer.approved) complain('trouble'); // approved without a token: nothing to order with
        else if (!answer.show_form) again(); // misuse alone is answered within the call: the widget is gone
        else if (answer.error && answer.error.invalid_fields) complain('fixable');
        else complain('aborted');
        keepUp();
    }

    // Klarna says no, too, when another tab has used the session: that nothing was ordered is said once it is known. The page
    // stays locked meanwhile.
    async function refused() {
        const purchase = await ask();
        if (state === 'authorizing' && !follow(purchase)) withdraw('refused');
    }

    // The widget was taken out of the page, or never was in it: that is no refusal of Klarna's.
    function again() {
        load(chosen);
        complain('trouble');
    }

    function recover(error) {
        if (window.console) window.console.error(error);
        if (sent) return;
        calm();
        if (state === 'authorizing' || state === 'submitting') to('ready');
        if (!messages.dataset.said) complain('trouble');
    }

    // Once, and never unlocked again: what becomes of it is the next page's to say.
    function submit(authorization) {
        calm();
        token.value = authorization;
        to('submitting');
        remember();
        say('sending');
        status.hidden = false;
        sent = true;
        form.submit();
    }

    // ---- what happened elsewhere: another tab, or before the Back button ----

    function remember() {
        try {
            sessionStorage.setItem(note, '1');
        } catch (error) {
            // Storage is off: then the server tells a second order from the first, as it does anyway.
        }
    }

    function recall() {
        try {
            const noted = sessionStorage.getItem(note) !== null;
            sessionStorage.removeItem(note);
            return noted;
        } catch (error) {
            return false;
        }
    }

    // The purchase as the server knows it, or null.
    async function ask() {
        const stop = new AbortController();
        const timer = setTimeout(() => stop.abort(), 8000);
        try {
            const answer = await fetch(root.dataset.stateUrl, {
                credentials: 'same-origin', cache: 'no-store', headers: { Accept: 'application/json' }, signal: stop.signal,
            });
            return answer.ok ? await answer.json() : null;
        } catch (error) {
            return null;
        } finally {
            clearTimeout(timer);
        }
    }

    // Goes where the purchase has gone. Returns whether there is somewhere to go: not while nothing was ordered.
    function follow(purchase) {
        if (!purchase || !purchase.state || purchase.state === 'created') return false;
        const next = purchase.next ? new URL(purchase.next, location.href) : null;
        if (next && /^https?:$/.test(next.protocol) && next.href !== location.href) location.replace(next.href);
        else if (purchase.state !== 'expired') location.reload();
        else if (messages.dataset.said !== 'expired') finish('expired');
        return true;
    }

    // Asked again after the answer: a page that began to post meanwhile must not be taken away under its request.
    async function keepUp() {
        const purchase = await ask();
        if (state !== 'submitting' && state !== 'authorizing') follow(purchase);
    }

    document.addEventListener('visibilitychange', () => {
        if (document.visibilityState !== 'visible' || state === 'boot' || state === 'submitting') return;
        if (Date.now() >= ends) expire();
        keepUp();
    });

    // From the back/forward cache the page comes as it was left: locked, with its authorization used.
    window.addEventListener('pageshow', async (event) => {
        if (!event.persisted) return;
        const left = state === 'submitting';
        if (left) recall();
        if (!follow(await ask()) && left) location.reload();
    });

    function expire() {
        if (['sdk-loading', 'loading', 'choosing', 'ready', 'stuck'].includes(state)) finish('expired');
    }

    // ---- boot ----

    async function boot() {
        const inApp = document.getElementById('payway-in-app');
        if (inApp) inApp.hidden = !IN_APP.test(navigator.userAgent);
        // Back from an order: what became of it, before anything can be ordered again.
        if (recall() && follow(await ask())) return;
        if (!root.dataset.sdk) {
            to('ready');
            return;
        }
        if (Number.isFinite(ends)) setTimeout(expire, Math.max(0, ends - Date.now()));
        fieldset.hidden = false;
        button.addEventListener('click', order);
        categories.forEach((category) => {
            if (category.input) category.input.addEventListener('change', () => { hush(); load(category); });
        });
        start();
    }

    // The page that has its authorization: an ordinary form, sent once.
    form.addEventListener('submit', (event) => {
        if (sent) {
            event.preventDefault();
            return;
        }
        sent = true;
        remember();
        to('submitting');
        say('sending');
    });

    boot();
}());
