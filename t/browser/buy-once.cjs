// Double clicks, reloads, second tabs, the Back button and the browser's page cache around one purchase.
'use strict';
const { ok, is, like, main } = require('./browser.cjs');
const {
    CONFIRMATION, AUTHORIZE, BOUGHT_ONCE, fault, newReader, books, orderButton, klarna, choose, at, toPurchase, act, note, posted,
    order, beside,
} = require('./sale.cjs');

const confirmed = (page) => page.waitForURL(CONFIRMATION);
const authorizes = (calls) => calls.filter((call) => call.method === 'authorize').length;
const heading = (page) => page.locator('h1').innerText();

// Presses that come faster than a page changes.
async function storms(open) {
    const press = {
        'a double click': (button) => button.dblclick(),
        'a storm of Enter': async (button, page) => {
            await button.focus();
            for (let i = 0; i < 20; i += 1) await page.keyboard.down('Enter');
        },
        'twenty clicks in one task': (button) => button.evaluate((b) => { for (let i = 0; i < 20; i += 1) b.click(); }),
    };
    for (const [name, storm] of Object.entries(press)) {
        const who = await newReader();
        const page = await open({ width: 360 });
        await note(page);
        await act(page, 'auto_approve'); // no dialog lies over the button
        await toPurchase(page, who);
        await storm(orderButton(page), page);
        await confirmed(page);
        const left = await posted(page);
        is(authorizes(left.calls), 1, `${name}: Klarna is asked once`);
        is(left.posts, 1, `${name}: the form is posted once`);
        is(await books(who), BOUGHT_ONCE, `${name}: one order`);
        is(page.troubles.join('\n'), '', `${name}: no script error`);
        await page.context().close();
    }
    // The call stands in the very task of the click: the browser would not let Klarna open a window later.
    const page = await open({ width: 360 });
    await toPurchase(page, await newReader());
    const calls = await page.evaluate(() => {
        const before = globalThis.KlarnaStub.calls.length;
        document.querySelector('#payway-order button').click();
        return globalThis.KlarnaStub.calls.slice(before).map((call) => call.method).join(' ');
    });
    is(calls, 'authorize', 'nothing asynchronous between the click and authorize');
    await page.context().close();
}

async function reloads(open) {
    const who = await newReader();
    const page = await open({ width: 360 });
    const token = () => page.getAttribute('#payway-purchase', 'data-client-token');
    await toPurchase(page, who);
    const first = await token();
    for (let i = 0; i < 3; i += 1) {
        await page.reload();
        await at(page, 'ready');
    }
    is(await token(), first, 'reload: the same session of Klarna');
    await orderButton(page).click();
    await klarna(page).waitFor();
    await page.reload();
    await at(page, 'ready');
    is(await books(who), 'sessions 1, orders 0, charges 0', 'reload while Klarna asks: still the one session, and nothing ordered');
    await page.goBack();
    like(page.url(), /\/payway\/offers\?/, 'Back before the order: the offers');
    await page.goForward();
    await at(page, 'ready');
    is(await token(), first, 'and forward again: the same session');
    await order(page);
    await confirmed(page);
    await page.reload();
    is(await heading(page), 'Tack för din beställning', 'reload of the confirmation: the confirmation');
    is(await books(who), BOUGHT_ONCE, 'and nothing more is ordered');
    await page.context().close();
}

async function back(open) {
    const who = await newReader();
    const page = await open({ width: 360 });
    const purchase = await toPurchase(page, who);
    // Klarna's page is passed without a stop; here it stays until the reader has had enough of it.
    await fault({ role: 'klarna', path: '/redirect/', kind: 'html', status: 200, times: 1 });
    await order(page);
    await page.waitForURL(/\/redirect\//);
    await page.goBack();
    await confirmed(page);
    is(await heading(page), 'Tack för din beställning', 'Back from Klarna: the confirmation');
    await page.goto(purchase);
    await confirmed(page);
    ok(true, 'the purchase page by its address: the confirmation');
    await page.getByRole('main').getByRole('link', { name: 'Läs vidare' }).click();
    await page.goBack();
    await confirmed(page);
    for (let i = 0; i < 3 && CONFIRMATION.test(page.url()); i += 1) await page.goBack();
    ok(!/\/purchase\//.test(page.url()), 'Back and Back again: never a purchase page that could order once more', page.url());
    is(await books(who), BOUGHT_ONCE, 'Back: one order');
    await page.context().close();
}

// A page that comes from the browser's page cache is as it was left: locked. (Chromium under playwright has no such cache, so
// that the page stays where it is and is told that it was away.)
async function cached(open) {
    const comesBack = (page) => page.evaluate(() => {
        globalThis.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));
    });
    for (const arrived of [true, false]) {
        const who = await newReader();
        const page = await open({ width: 360 });
        await toPurchase(page, who);
        let left;
        const gone = new Promise((resolve) => { left = resolve; });
        await page.route(AUTHORIZE, async (route) => {
            if (arrived) await route.fetch({ maxRedirects: 0 });
            await route.fulfill({ status: 204 });
            left();
        });
        await order(page);
        await gone;
        is(await page.getAttribute('#payway-purchase', 'data-state'), 'submitting', 'page cache: left while the order was on its way');
        await page.unroute(AUTHORIZE);
        await comesBack(page);
        if (arrived) {
            await confirmed(page);
            ok(true, 'page cache: the order had arrived: the confirmation');
        } else {
            await at(page, 'ready');
            is(await books(who), 'sessions 1, orders 0, charges 0', 'page cache: it had not: the page is open again');
            await order(page);
            await confirmed(page);
        }
        is(await books(who), BOUGHT_ONCE, 'page cache: one order');
        await page.context().close();
    }
    // A page that was left before anything was ordered, and was ordered elsewhere meanwhile.
    const page = await open({ width: 360 });
    const url = await toPurchase(page, await newReader());
    await Promise.all([page.waitForResponse(/\/state$/), comesBack(page)]);
    is(await page.getAttribute('#payway-purchase', 'data-state'), 'ready', 'page cache: nothing was ordered: the page is as it was');
    const other = await beside(page);
    await other.goto(url);
    await at(other, 'ready');
    await order(other);
    await confirmed(other);
    await comesBack(page);
    await confirmed(page);
    ok(true, 'page cache: ordered elsewhere: the confirmation');
    await page.context().close();
}

async function tabs(open) {
    const who = await newReader();
    const first = await open({ width: 360 });
    const url = await toPurchase(first, who);
    const [seen, pressed, reloaded] = [await beside(first), await beside(first), await beside(first)];
    for (const tab of [seen, pressed, reloaded]) {
        await tab.goto(url);
        await at(tab, 'ready');
    }
    is(await books(who), 'sessions 1, orders 0, charges 0', 'tabs: all of them share one session');
    await order(first);
    await confirmed(first);

    await seen.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
    await confirmed(seen);
    ok(true, 'tabs: whoever comes to another tab finds the confirmation');
    await reloaded.reload();
    await confirmed(reloaded);
    ok(true, 'tabs: and by a reload');
    // Side by side nothing tells the second window, until Klarna says no: its session is over.
    const said = [];
    await pressed.exposeFunction('note', (name) => said.push(name));
    await pressed.evaluate(() => {
        const messages = document.getElementById('payway-messages');
        new MutationObserver(() => globalThis.note(messages.dataset.said || messages.textContent)).observe(messages, { childList: true });
    });
    await orderButton(pressed).click();
    await choose(pressed, 'Approve');
    await confirmed(pressed);
    ok(true, 'tabs: pressed side by side: the confirmation');
    is(said.filter(Boolean).join(' '), '', 'tabs: and not a word before it that nothing was ordered');
    is(await books(who), BOUGHT_ONCE, 'tabs: one order');
    await first.context().close();

    // Both are approved before either is posted.
    const twice = await newReader();
    const one = await open({ width: 360 });
    const place = await toPurchase(one, twice);
    const two = await beside(one);
    await two.goto(place);
    await at(two, 'ready');
    const [held, approved] = [[], []];
    for (const tab of [one, two]) {
        let reach;
        const reached = new Promise((resolve) => { reach = resolve; });
        await tab.route(AUTHORIZE, (route) => {
            held.push(route);
            reach();
        });
        approved.push(order(tab)); // comes back when the form has been let through
        await reached;
    }
    await held[1].continue(); // the later approval is the one that counts at Klarna
    await confirmed(two);
    await held[0].continue();
    await confirmed(one);
    await Promise.all(approved);
    is(await books(twice), BOUGHT_ONCE, 'tabs: approved in both: one order, and both end at its confirmation');
    is([...one.troubles, ...two.troubles].join('\n'), '', 'tabs: no script error');
    await one.context().close();
}

main(async (open) => {
    await storms(open);
    await reloads(open);
    await back(open);
    await cached(open);
    await tabs(open);
});
