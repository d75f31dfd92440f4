// Our own login form: what a person is told when it goes wrong, and that focus is where it must be.
// PWK_SITE: url, subscriber, inactive {email,password}, control (the simulator's).
'use strict';
const { site, ok, is, like, main, look } = require('./browser.cjs');

const ARTICLE = `${site.url}/premium/flottningen.html`;
const SENTINEL = /SENTINEL-ARTICLE-1/;

async function tries(page, who) {
    await page.locator('input[name=email]').fill(who.email);
    await page.locator('input[name=password]').fill(who.password);
    await page.locator('form[action$="/login"] button').click();
}

const alert = (page) => page.getByRole('alert').first().innerText();
const fault = (path, body, method = 'POST') => fetch(site.control + path, {
    method, headers: { 'Content-Type': 'application/json' }, body: body && JSON.stringify(body),
});

main(async (open) => {
    const page = await open({ width: 360 });
    await page.goto(ARTICLE);
    await page.getByRole('main').getByRole('link', { name: /Logga in/ }).first().click();
    await look(page, 'login-360');
    is(await page.locator('input[name=email]').getAttribute('autocomplete'), 'username', 'password managers know the field');

    await tries(page, { email: site.subscriber.email, password: 'not this one' });
    like(await alert(page), /4/, 'a wrong password: how many tries are left');
    is(await page.locator('input[name=email]').inputValue(), site.subscriber.email, 'the address is kept');
    is(await page.locator('input[name=password]').inputValue(), '', 'the password is not');
    ok(await page.evaluate(() => document.activeElement !== document.body), 'focus is on the page, not lost');
    await look(page, 'login-wrong-360');

    await tries(page, site.inactive);
    like(await alert(page), /aktiv/i, 'an account that is not activated');
    await look(page, 'login-inactive-360');

    await fault('/fault', { role: 'sso', path: '/authenticate', method: 'POST', kind: 'status', status: 503 });
    await tries(page, site.subscriber);
    like(await alert(page), /.+/, 'Payway away');
    await look(page, 'login-unavailable-360');
    await fault('/fault', undefined, 'DELETE');

    for (let i = 0; i < 5; i += 1) await tries(page, { email: site.frozen.email, password: `wrong ${i}` });
    like(await alert(page), /\d\d[:.]\d\d/, 'a frozen account: until when');
    await look(page, 'login-frozen-360');

    await tries(page, site.subscriber);
    await page.waitForURL(ARTICLE);
    like(await page.content(), SENTINEL, 'the right password: reads');
    await page.context().close();

    const english = await open({ width: 1280, locale: 'en-GB' });
    await english.goto(`${site.url}/payway/login?r=%2Fpremium%2Fflottningen.html`);
    await look(english, 'login-en-1280');
    await tries(english, { email: 'nobody', password: 'x' });
    await english.context().close();
});
