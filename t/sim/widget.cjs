// Runs the simulator's api.js in Chromium, in a page whose policy allows Klarna what a page must allow it and nothing more.
// Started by t/sim-klarna.t; WIDGET (JSON) has klarna (its address), token (a client token) and auto (one whose scenario is
// auto_approve). Prints a JSON list of [passed, name, detail].
'use strict';
const http = require('node:http');
const { chromium } = require('playwright-core');

const { klarna, token, auto } = JSON.parse(process.env.WIDGET);
const FLAGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'];
const POLICY = `default-src 'none'; script-src 'self' ${klarna}; style-src 'unsafe-inline'; frame-src ${klarna}; connect-src ${klarna}`;
const SCRIPT = `
window.called = 0;
window.klarnaAsyncCallback = () => { window.called += 1; };
window.answers = [];
window.load = (options, data) => new Promise((resolve) => {
    Klarna.Payments.load({container: '#box', payment_method_category: 'pay_now', ...options}, data || {}, resolve);
});
window.authorize = (options) => new Promise((resolve) => {
    Klarna.Payments.authorize({payment_method_category: 'pay_now', ...options}, {}, (answer) => { window.answers.push(answer); resolve(answer); });
});
window.misuse = (method, ...given) => {
    const seen = [];
    try {
        Klarna.Payments[method](...given, (answer) => seen.push(answer));
    } catch (error) {
        return [error.name, error instanceof Error, ...seen];
    }
    return ['nothing thrown', ...seen];
};
// The button asks Klarna as the first thing in its click.
document.querySelector('#buy').addEventListener('click', () => window.authorize());
if (location.search === '?unasked') {
    window.addEventListener('load', async () => {
        Klarna.Payments.init({client_token: location.hash.slice(1)});
        await window.load();
        const answer = await window.authorize();
        const { activation, blocked } = KlarnaStub.calls.at(-1);
        console.log('unasked ' + JSON.stringify([answer, activation, blocked]));
    });
}
`;
const PAGE = `<!DOCTYPE html><html lang="sv"><head><meta charset="utf-8"><title>Widget</title></head>
<body><h1>Köp</h1><div id="box"></div><div id="other"></div><button id="buy">Köp</button>
<script src="/page.js"></script><script src="${klarna}/kp/lib/v1/api.js" async></script></body></html>`;

const results = [];
const same = (got, want, name) => {
    const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
    results.push([a === b, name, `got ${a}, wanted ${b}`]);
};
const ABORTED = { approved: false, show_form: true };
const REJECTED = { approved: false, show_form: false };
const MISUSED = { show_form: false, approved: false };
const FIXABLE = { approved: false, show_form: true, error: { invalid_fields: ['billing_address.email'] } };

const server = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://x');
    const policy = searchParams.has('noconnect') ? POLICY.replace(/connect-src.*/, "connect-src 'none'")
        : searchParams.has('noframe') ? POLICY.replace(/frame-src[^;]*/, "frame-src 'none'")
            : searchParams.has('nostyle') ? POLICY.replace(/style-src[^;]*/, "style-src 'none'") : POLICY;
    const script = pathname === '/page.js';
    response.writeHead(200, { 'Content-Type': script ? 'text/javascript' : 'text/html; charset=utf-8', 'Content-Security-Policy': policy });
    response.end(script ? SCRIPT : PAGE);
});

async function test(open) {
    const scenario = (page, name) => page.evaluate((n) => { KlarnaStub.scenario = n; }, name);
    const init = (page, text) => page.evaluate((t) => Klarna.Payments.init({ client_token: t }) === Klarna.Payments, text);
    const load = (page, options, data) => page.evaluate(([o, d]) => window.load(o, d), [options || {}, data]);
    const misuse = (page, ...given) => page.evaluate((g) => window.misuse(...g), given);
    const dialog = (page) => page.getByRole('dialog', { name: 'Klarna' });
    const box = { container: '#box', payment_method_category: 'pay_now' };

    // -- what is refused before anything is loaded
    let page = await open();
    same(await page.evaluate(() => window.called), 1, 'klarnaAsyncCallback is called once');
    same(await page.evaluate(() => ['Payments', 'Credit', 'DirectDebit', 'DirectBankTransfer'].map((n) => typeof Klarna[n].load)),
        ['function', 'function', 'function', 'function'], 'the globals');
    same(await misuse(page, 'load', box), ['ApplicationNotInitializedError', true, { show_form: false }], 'load before init');
    for (const method of ['finalize', 'reauthorize']) {
        same(await misuse(page, method, box), ['ApplicationNotInitializedError', true, MISUSED], `${method} before init`);
    }
    same(await misuse(page, 'authorize', box), ['ApplicationNotLoadedError', true, MISUSED], 'authorize before init');
    for (const bad of [undefined, 5, '', 'x', 'x.y.z', 'x.bnVsbA.z']) {
        same(await page.evaluate((t) => window.misuse('init', { client_token: t })[0], bad), 'InvalidClientTokenError', `init with ${bad}`);
    }
    same(await init(page, token), true, 'init gives Klarna.Payments back');
    same(await misuse(page, 'authorize', box), ['ApplicationNotLoadedError', true, MISUSED], 'authorize before load');
    const wrong = [
        [{ container: '#none' }, 'InvalidContainerSelectorError'], [{ container: '#' }, 'InvalidContainerSelectorError'],
        [{ container: 5 }, 'TypeError'], [{ payment_method_category: 'magic' }, 'PaymentMethodCategoryNotSupportedError'],
        [{ payment_method_categories: ['pay_now'] }, 'InstanceIDNotProvidedError'],
        [{ payment_method_categories: ['pay_now'], instance_id: 'a b' }, 'InvalidInstanceIDError'],
        [{ preferred_payment_method: 'gold' }, 'PreferredPaymentMethodNotSupportedError'],
        [{ client_token: 'x' }, 'InvalidClientTokenError'],
    ];
    for (const [change, name] of wrong) same(await misuse(page, 'load', { ...box, ...change }), [name, true, { show_form: false }], `load: ${name}`);
    same(await misuse(page, 'loadPaymentReview', {}), ['OperationNotSupportedError', true, { show_form: false }], 'loadPaymentReview');
    same(await page.evaluate(() => window.misuse('on', 'magic')[0]), 'EventNotSupportedError', 'on');

    // -- load
    await page.evaluate(() => {
        window.events = [];
        for (const name of ['heightChanged', 'fullscreenOverlayShown', 'fullscreenOverlayHidden']) {
            Klarna.Payments.on(name, (value) => window.events.push(value === undefined ? name : [name, value]));
        }
    });
    same(await page.evaluate(() => {
        let now = true;
        return new Promise((resolve) => {
            Klarna.Payments.load({ container: '#box', payment_method_category: 'pay_now' }, () => resolve(now ? 'at once' : 'later'));
            now = false;
        });
    }), 'later', 'load calls back later, the data may be left out');
    same(await page.evaluate(() => window.events.splice(0)), [['heightChanged', 230]], 'heightChanged');
    const frame = page.locator('#box > iframe#klarna-pay-now-main');
    same([await frame.getAttribute('title'), (await frame.boundingBox()).height], ['Klarna', 230], 'the frame');
    same(await frame.contentFrame().locator('p').innerText(), 'Betala nu', 'shows the category');
    same(await page.evaluate(() => { document.querySelector('iframe').mark = 1; return window.load().then(() => document.querySelector('iframe').mark); }),
        1, 'the same container keeps the frame');
    same(await load(page, { container: '#other' }), { show_form: true }, 'another container');
    same(await page.evaluate(() => [...document.querySelectorAll('iframe')].map((f) => f.parentNode.id)), ['other'], 'gets it anew');
    same(await load(page, { payment_method_category: 'klarna' }), { show_form: false }, 'a category that is known, but not of the session');
    same(await misuse(page, 'authorize', { payment_method_category: 'pay_later' }), ['ApplicationNotLoadedError', true, MISUSED], 'authorize another category');
    same(await misuse(page, 'authorize', {}), ['ApplicationNotLoadedError', true, MISUSED], 'or none');
    same(await load(page, {}, { billing_address: { email: 'a@b.se' } }), { show_form: true }, 'with data');
    same(await page.evaluate(() => KlarnaStub.calls.at(-1).data), { billing_address: { email: 'a@b.se' } }, 'which is recorded');

    // -- authorize: the dialog
    const buy = async (label, press) => {
        const before = await page.evaluate(() => window.answers.length);
        await page.locator('#buy').click();
        await press(dialog(page), label);
        await page.waitForFunction((n) => window.answers.length > n, before);
        return page.evaluate(() => window.answers.at(-1));
    };
    const click = (overlay, label) => overlay.getByRole('button', { name: label, exact: true }).click();
    same(await buy('Close', click), ABORTED, 'Close');
    same(await buy('Decline', click), REJECTED, 'Decline');
    same(await buy('Wrong details', click), FIXABLE, 'Wrong details');
    same(await buy('Escape', () => page.keyboard.press('Escape')), ABORTED, 'Escape');
    same(await page.evaluate(() => document.activeElement.id), 'buy', 'the focus is back where it was');
    same(await page.evaluate(() => window.events.slice(-2)), ['fullscreenOverlayShown', 'fullscreenOverlayHidden'], 'overlay events');
    const given = await buy('Approve', async () => {
        await dialog(page).waitFor();
        for (const key of ['Tab', 'Tab', 'Shift+Tab', 'Shift+Tab', 'Enter']) await page.keyboard.press(key);
    });
    same([given.approved, given.show_form, given.finalize_required, /^[\da-f-]{36}$/.test(given.authorization_token)], [true, true, false, true],
        'Approve, by the keyboard');
    same(await page.evaluate(() => KlarnaStub.calls.at(-1).activation), true, 'the call says that the user was there');
    same(await page.evaluate(() => new Promise((resolve) => {
        Klarna.Payments.finalize({ payment_method_category: 'pay_now' }, {}, resolve);
    })), given, 'finalize gives the same token');
    same(await page.evaluate((old) => new Promise((resolve) => {
        Klarna.Payments.reauthorize({ payment_method_category: 'pay_now' }, {}, (next) => resolve(next.approved && next.authorization_token !== old));
    }), given.authorization_token), true, 'reauthorize another');

    // -- authorize: in flight, order of arguments, exceptions, the frame gone
    await page.locator('#buy').click();
    await page.evaluate(() => document.querySelector('#buy').click());
    same(await page.getByRole('dialog').count(), 1, 'a second authorize opens nothing');
    const count = await page.evaluate(() => window.answers.length);
    await click(dialog(page), 'Close');
    await page.waitForTimeout(300);
    same(await page.evaluate(() => [window.answers.length, KlarnaStub.calls.at(-1).ignored]), [count + 1, true], 'and its callback never comes');
    await scenario(page, 'abort');
    same(await page.evaluate(() => new Promise((resolve) => {
        Klarna.Payments.authorize({ billing_address: {} }, { payment_method_category: 'pay_now' }, resolve);
    })), ABORTED, 'the old order of arguments');
    same(await page.evaluate(() => new Promise((resolve) => {
        Klarna.Payments.authorize({ payment_method_category: 'pay_now' }, {}, () => { setTimeout(() => resolve(KlarnaStub.swallowed), 50); throw new Error('oops'); });
    })), ['Error: oops'], 'what a callback throws is swallowed');
    for (const [name, want] of [['deny', REJECTED], ['invalid_fields', FIXABLE]]) {
        await scenario(page, name);
        same(await page.evaluate(() => window.authorize()), want, `scenario ${name}`);
    }
    await scenario(page, 'approve');
    const silent = await page.evaluate(() => window.answers.length);
    await page.locator('#buy').click();
    await page.evaluate(() => { document.querySelector('#box').innerHTML = ''; });
    await dialog(page).waitFor({ state: 'detached' });
    await page.waitForTimeout(300);
    same(await page.evaluate(() => window.answers.length), silent, 'a page that drops the frame hears nothing more');
    same(await misuse(page, 'authorize', box), ['ApplicationNotLoadedError', true, MISUSED], 'and has to load again');
    await load(page);
    same(await page.evaluate((b) => { document.querySelector('#box').innerHTML = ''; return window.misuse('authorize', b)[0]; }, box),
        'ApplicationNotLoadedError', 'at once');
    await scenario(page, 'abort');
    await load(page);
    await page.evaluate(() => { window.authorize(); document.querySelector('#box').innerHTML = ''; });
    await page.waitForTimeout(500);
    same(await page.evaluate(() => window.answers.length), silent, 'with and without a dialog');
    await load(page);
    same(await page.evaluate(() => window.authorize()), ABORTED, 'then it works again');

    // -- scenarios of load, and of the token
    await scenario(page, 'throw_on_load');
    same(await misuse(page, 'load', box), ['InvalidClientTokenSignatureError', true, { show_form: false }], 'scenario throw_on_load');
    const loads = { load_show_form_false: { show_form: false }, load_error_fields: { show_form: true, error: FIXABLE.error }, load_timeout: { show_form: false } };
    for (const [name, want] of Object.entries(loads)) {
        await scenario(page, name);
        same(await load(page), want, `scenario ${name}`);
    }
    await scenario(page, 'load_never_calls_back');
    same(await page.evaluate(() => Promise.race([window.load(), new Promise((r) => { setTimeout(r, 400, 'silence'); })])), 'silence', 'scenario load_never_calls_back');
    await scenario(page, null);
    await page.evaluate(() => { document.querySelector('iframe').mark = 1; });
    await init(page, auto);
    same(await load(page), { show_form: true }, 'another token');
    same(await page.evaluate(() => document.querySelector('iframe').mark), undefined, 'begins anew');
    same((await page.evaluate(() => window.authorize())).approved, true, 'scenario auto_approve, by the token');
    same(await page.evaluate(() => window.authorize({ auto_finalize: false })), { approved: true, show_form: true, finalize_required: true }, 'auto_finalize false');
    same(await page.evaluate(() => new Promise((resolve) => {
        Klarna.Payments.finalize({ payment_method_category: 'pay_now' }, (answer) => resolve(Boolean(answer.authorization_token)));
    })), true, 'and finalize brings the token');
    await scenario(page, 'never_calls_back');
    same(await page.evaluate(() => Promise.race([window.authorize(), new Promise((r) => { setTimeout(r, 400, 'silence'); })])), 'silence', 'scenario never_calls_back');
    same(page.troubles, [], 'the policy blocked nothing');

    // -- what goes wrong around it
    // Nothing is evaluated in this page: that would count as the user's doing.
    page = await open(`/?unasked#${token}`);
    for (let i = 0; i < 100 && !page.said.length; i += 1) await new Promise((resolve) => { setTimeout(resolve, 100); });
    same(page.said, [`unasked ${JSON.stringify([ABORTED, false, true])}`], 'without a user activation: a blocked popup, recorded as such');
    page = await open('/?noconnect');
    await init(page, auto);
    await load(page);
    same(await page.evaluate(() => window.authorize()), REJECTED, 'a policy without connect-src looks like a rejection');
    page = await open('/?nostyle');
    await init(page, auto);
    await load(page);
    await scenario(page, 'approve');
    await page.locator('#buy').click();
    await click(dialog(page), 'Decline');
    same(page.troubles.length > 0, true, 'a policy without style-src blocks a style element');
    page = await open('/?noframe');
    await init(page, auto);
    await page.evaluate(() => { KlarnaStub.bootstrap_ms = 1000; });
    same(await load(page), { show_form: false }, 'a policy without frame-src is a frame that never comes');
}

(async () => {
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    const browser = await chromium.launch({ executablePath: process.env.PWK_CHROMIUM || '/usr/bin/chromium', args: FLAGS });
    const open = async (path = '/') => {
        const page = await (await browser.newContext({ locale: 'sv-SE' })).newPage();
        page.setDefaultTimeout(15000);
        page.troubles = [];
        page.said = [];
        page.on('console', (line) => { if (/^unasked /.test(line.text())) page.said.push(line.text()); });
        page.on('pageerror', (error) => page.troubles.push(error.message));
        page.on('console', (line) => { if (/Content Security Policy|Refused to/.test(line.text())) page.troubles.push(line.text()); });
        await page.goto(`http://127.0.0.1:${server.address().port}${path}`, { waitUntil: 'load' });
        return page;
    };
    try {
        await test(open);
    } catch (error) {
        results.push([false, 'the widget was tested to the end', error.stack]);
    }
    await browser.close();
    server.close();
    console.log(JSON.stringify(results));
})();
