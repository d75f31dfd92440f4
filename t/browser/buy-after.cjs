// After Klarna's approval: a payment that fails, an order whose answer is lost, an approval that waits for a login. Each leaves a
// picture.
'use strict';
const { is, like, main, look, lookAtAll } = require('./browser.cjs');
const {
    SENTINEL, CONFIRMATION, BOUGHT_ONCE, control, shape, fault, newReader, books, offerButton, orderButton, at, toPurchase, note, order, beside,
} = require('./sale.cjs');

async function start(open) {
    const who = await newReader();
    const page = await open({ width: 360 });
    await note(page);
    await toPurchase(page, who);
    return { who, page };
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

main(async (open) => {
    for (const test of [paymentFails, answerLost, approvedAndLoggedOut]) await test(open);
});
