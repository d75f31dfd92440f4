// Aborted, wrong details, refused, payment failed; a trial; double clicks, two tabs, Back; a script that is blocked, too slow
// or silent; an order whose answer is lost; an approval that waits for a login. Every state leaves a picture.
'use strict';
const { ok, is, like, main, look, lookAtAll, portalLogin } = require('./browser.cjs');
const {
    ARTICLE, SENTINEL, CONFIRMATION, AUTHORIZE, SDK, BOUGHT_ONCE, control, shape, fault, newReader, books, offerButton, orderButton, klarna,
    choose, at, said, status, messages, focusIsOn, stubCalls, toPurchase, act, note, posted, order, beside,
} = require('./sale.cjs');

const shop = (page) => messages(page).getByRole('link', { name: /Andra sätt/ });

async function start(open, options = {}) {
    const who = await newReader();
    const page = await open({ width: 360 });
    await note(page);
    if (options.scenario) await act(page, options.scenario);
    const url = await toPurchase(page, who, options);
    return { who, page, url };
}

async function bought(page, who, name) {
    await page.waitForURL(CONFIRMATION);
    is(await books(who), BOUGHT_ONCE, `${name}: bought once`);
}

async function klarnaSaysNo(open) {
    const { who, page } = await start(open);
    for (const [button, name, words] of [['Close', 'aborted', /avbröts|inte klar|stängde/i], ['Wrong details', 'fixable', /uppgift/i]]) {
        await orderButton(page).click();
        await choose(page, button);
        await said(page, name);
        like(await messages(page).innerText(), words, `${name}: its own words`);
        is(await focusIsOn(page), 'payway-messages', `${name}: which have the focus`);
        is(await orderButton(page).isEnabled(), true, `${name}: and the page is unlocked`);
        await lookAtAll(page, `trouble-${name}`);
    }
    await order(page);
    await bought(page, who, 'aborted, corrected, approved');
    await page.context().close();

    const refused = await start(open);
    await orderButton(refused.page).click();
    await choose(refused.page, 'Decline');
    await said(refused.page, 'refused');
    is(await orderButton(refused.page).isDisabled(), true, 'refused: nothing more can be ordered here');
    ok(await shop(refused.page).isVisible(), 'refused: but in the shop');
    await lookAtAll(refused.page, 'trouble-refused');
    is(await books(refused.who), 'sessions 1, orders 0, charges 0', 'refused: nothing was ordered');
    await refused.page.context().close();
}

async function severalWays(open) {
    await shape({ session_categories: 'list' });
    const { who, page } = await start(open);
    await shape({ session_categories: 'none' });
    is(await page.locator('#payway-categories input:checked').count(), 1, 'several ways: one is chosen');
    is(await page.locator('[data-category]:has(input:checked)').getAttribute('data-category'), 'pay_now', 'several ways: not credit');
    await lookAtAll(page, 'trouble-ways', { dark: true });
    await orderButton(page).click();
    await choose(page, 'Decline');
    await said(page, 'refused-other');
    await page.getByLabel('Autogiro').check();
    await at(page, 'ready');
    await order(page);
    await bought(page, who, 'refused in one way, bought in another');
    const { calls } = await posted(page);
    const last = calls.filter((call) => call.method === 'authorize').pop();
    is(last.options.payment_method_category, 'direct_debit', 'several ways: authorize names what was chosen');
    await page.context().close();
}

async function paymentFails(open) {
    const { who, page } = await start(open);
    await control('POST', `/klarna-person/${who.id}`, { payment: 'failed' });
    await order(page);
    await page.locator('[data-error="payment_failed"]').waitFor();
    like(await page.locator('main').innerText(), /reserverat belopp/, 'payment failed: honest about the money');
    await lookAtAll(page, 'trouble-payment-failed', { dark: true });
    await control('POST', `/klarna-person/${who.id}`, { payment: 'approved' });
    await page.getByRole('link', { name: /Försök igen/ }).click();
    await offerButton(page, 'digital').click();
    await at(page, 'ready');
    await order(page);
    await page.waitForURL(CONFIRMATION);
    is(await books(who), 'sessions 2, orders 2, charges 1', 'payment failed: the next try is a new session, and one charge');
    await page.context().close();
}

async function trial(open) {
    await shape({ session_categories: 'list' });
    const { who, page } = await start(open, { article: ARTICLE.replace('flottningen', 'koren'), offer: 'trial' });
    await shape({ session_categories: 'none' });
    like(await page.locator('.payway-order').innerText(), /Gratis[\s\S]*Därefter 129 kr per månad/, 'trial: what it costs after');
    is(await page.locator('[data-category]').evaluateAll((all) => all.map((one) => one.dataset.category).join()), 'direct_debit', 'trial: direct debit alone');
    await lookAtAll(page, 'trouble-trial');
    await order(page);
    await bought(page, who, 'trial');
    await page.context().close();
}

async function pressedTwice(open) {
    const { who, page, url } = await start(open);
    await page.reload();
    await at(page, 'ready');
    await orderButton(page).evaluate((button) => { button.click(); button.click(); }); // Klarna's dialog would catch the second of a mouse
    await klarna(page).waitFor();
    is((await stubCalls(page)).filter((call) => call.method === 'authorize').length, 1, 'double click: one authorize');
    const tab = await beside(page);
    await tab.goto(url);
    await at(tab, 'ready');
    await choose(page, 'Approve');
    await page.waitForURL(CONFIRMATION);
    is((await posted(page)).posts, 1, 'double click: posted once');
    await orderButton(tab).click({ noWaitAfter: true }).catch(() => {}); // it may be on its way already
    if (await klarna(tab).isVisible()) await choose(tab, 'Approve').catch(() => {});
    await tab.waitForURL(CONFIRMATION);
    ok(true, 'two tabs: the second comes to the confirmation too');
    is(await books(who), BOUGHT_ONCE, 'reload, double click, two tabs: bought once');
    await page.goBack();
    await page.waitForURL(CONFIRMATION);
    ok(true, 'Back: the confirmation');
    await page.goto(ARTICLE);
    like(await page.content(), SENTINEL, 'and the article is open');
    await page.context().close();
}

// Klarna's script does not come, or does not answer. Time is the browser's, and made to pass.
async function silence(open) {
    const who = await newReader();
    const blocked = await open({ width: 360 });
    await blocked.route(SDK, (route) => route.abort());
    await toPurchase(blocked, who, { state: 'stuck' });
    await said(blocked, 'blocked');
    ok(await shop(blocked).isVisible(), 'blocked: the shop is the other way');
    blocked.troubles.length = 0;
    await lookAtAll(blocked, 'trouble-blocked');
    await blocked.context().close();

    for (const [scenario, first, state, name] of [['load_never_calls_back', 10500, 'slow', 'late'], ['never_calls_back', 46000, 'waiting', null]]) {
        const page = await open({ width: 360 });
        await page.clock.install();
        await act(page, scenario);
        await toPurchase(page, await newReader(), { state: scenario.startsWith('load') ? 'loading' : 'ready' });
        if (!name) {
            await orderButton(page).click();
            await at(page, 'authorizing');
        }
        await page.clock.fastForward(first);
        await status(page, state);
        ok(true, `${scenario}: says that it takes long`);
        if (name) {
            await page.clock.fastForward(31000);
            await said(page, name);
            ok(await shop(page).isVisible(), `${scenario}: and then that it takes too long, with the shop`);
        } else {
            is(await orderButton(page).isDisabled(), true, `${scenario}: the page stays locked: BankID can take minutes`);
        }
        await page.context().close();
    }

    const none = await open({ width: 360 });
    await act(none, 'load_show_form_false');
    await toPurchase(none, await newReader(), { state: 'over' });
    await said(none, 'absent');
    ok(await shop(none).isVisible(), 'not offered: the shop');
    await none.context().close();

    const old = await open({ width: 360 });
    await old.clock.install();
    await toPurchase(old, await newReader());
    await old.clock.fastForward(48 * 3600 * 1000 + 60000);
    await said(old, 'expired');
    ok(await messages(old).getByRole('link').first().isVisible(), 'expired: a way to begin anew');
    await old.context().close();
}

async function answerLost(open) {
    const { who, page } = await start(open);
    await shape({ orders_delay: 3600, products_delay: 3600 });
    await fault({ role: 'api', path: '/external/api/v1/klarna_payments/place_order', kind: 'cut_after', times: 1 });
    await order(page);
    await page.locator('#payway-wait[data-state="unknown"]').waitFor();
    await lookAtAll(page, 'trouble-wait', { dark: true });
    const plain = await beside(page, open, { width: 360, javaScriptEnabled: false });
    await plain.goto(page.url());
    like(await plain.content(), /<noscript><meta http-equiv="refresh" content="\d+">/, 'wait: without script the page fetches itself');
    await plain.getByRole('main').getByRole('link', { name: /Läs vidare/ }).click();
    like(await plain.content(), SENTINEL, 'wait: the article is open meanwhile');
    await plain.context().close();
    await shape({ orders_delay: 0, products_delay: 0 });
    await page.waitForURL(CONFIRMATION);
    is(await books(who), BOUGHT_ONCE, 'wait: goes on by itself once the order is found; ordered once');
    await page.context().close();
}

async function approvedAndLoggedOut(open) {
    const { who, page } = await start(open);
    await page.context().clearCookies({ name: 'payway' });
    await order(page);
    await page.locator('#payway-purchase:not([data-sdk])').waitFor();
    await look(page, 'trouble-resume-360');
    const plain = await beside(page, open, { width: 360, javaScriptEnabled: false });
    await plain.goto(page.url());
    await plain.locator('#payway-order button').click();
    await plain.waitForURL(CONFIRMATION);
    is(await books(who), BOUGHT_ONCE, 'an approval that waited for a login: one press without script, bought once');
    await plain.context().close();
    await page.context().close();
}

async function withoutScript(open) {
    const page = await open({ width: 360, javaScriptEnabled: false });
    const who = await newReader();
    await page.goto(ARTICLE);
    await offerButton(page, 'digital').click();
    await portalLogin(page, who);
    await offerButton(page, 'digital').click();
    ok(await page.locator('noscript a, .payway-notice a').first().isVisible(), 'without script: the page says that Klarna needs one, and names the shop');
    is(await orderButton(page).isDisabled(), true, 'without script: and orders nothing');
    await page.context().close();
}

main(async (open) => {
    for (const test of [klarnaSaysNo, severalWays, paymentFails, trial, pressedTwice, silence, answerLost, approvedAndLoggedOut, withoutScript]) await test(open);
});
