// A stand-in for Klarna's api.js, written from descriptions of its behaviour (t/sim/README.md), and as unforgiving:
//
//   - misuse: the callback is called at once with a refusal, then an exception with Klarna's name for it is thrown;
//   - success: callbacks come later, never within the call; what they throw is swallowed;
//   - authorize needs the category that was loaded, a frame that is still in the page, and a user activation;
//   - an authorize while another is under way is ignored, and its callback never comes.
//
// What it may do is what the page's policy lets Klarna do: a frame and a fetch to `base_url` of the client token, styles
// by a <style> element and by the style properties of its own elements. What was called is in KlarnaStub.calls.
(() => {
    'use strict';

    const CATEGORIES = ['card', 'direct_bank_transfer', 'direct_debit', 'klarna', 'pay_in_parts', 'pay_later', 'pay_now',
        'pay_over_time'];
    const PREFERRED = ['base_account', 'deferred_interest', 'direct_bank_transfer', 'direct_debit', 'fixed_amount', 'invoice',
        'b2b_invoice', 'pix'];
    const EVENTS = ['heightChanged', 'fullscreenOverlayShown', 'fullscreenOverlayHidden'];
    const LOAD_TIMEOUT_MS = 2000;    // of the scenario load_timeout
    const SHORT_MS = 200;    // what a person takes who does not exist
    const WATCH_MS = 100;
    const ON_TOP = '2147483647';

    const ABORTED = { approved: false, show_form: true };
    const REJECTED = { approved: false, show_form: false };
    const FIXABLE = { approved: false, show_form: true, error: { invalid_fields: ['billing_address.email'] } };

    // calls: {method, options, data, activation, time, threw?, ignored?, blocked?, answer?}; scenario: set it to override
    // the token's; swallowed: what callbacks threw; bootstrap_ms: how long a frame may take, 30 s in the real one.
    const stub = { calls: [], swallowed: [], scenario: null, bootstrap_ms: 10000 };

    let token = null;       // the client token as text, and its claims
    let claims = null;
    let stale = false;      // another token came: the next load begins anew
    let underWay = null;    // the instance whose authorize waits
    const instances = new Map();
    const listeners = new Map(EVENTS.map((name) => [name, []]));

    // -- small things

    function failure(name, message) {
        const error = new Error(message);
        error.name = name;
        return error;
    }

    function plain(value) {
        if (value === undefined) return null;
        const text = JSON.stringify(value, (key, v) => (v instanceof Element ? `<${v.localName} id="${v.id}">` : v));
        return text === undefined ? String(value) : JSON.parse(text);
    }

    function record(method, options, data) {
        const active = navigator.userActivation ? navigator.userActivation.isActive : true;
        const call = { method, options: plain(options), data: plain(data), activation: active, time: Date.now() };
        stub.calls.push(call);
        return call;
    }

    // Klarna reports what a merchant's callback throws, and the merchant never hears of it.
    function deliver(call, callback, answer) {
        call.answer = answer;
        if (!callback) return;
        try {
            callback(plain(answer));
        } catch (error) {
            stub.swallowed.push(String(error));
        }
    }

    const later = (call, callback, answer, ms = 0) => setTimeout(() => deliver(call, callback, answer), ms);

    function misuse(call, callback, answer, error) {
        call.threw = error.name;
        deliver(call, callback, answer);
        throw error;
    }

    function emit(name, value) {
        for (const listener of [...listeners.get(name)]) {
            try {
                listener(value);
            } catch (error) {
                stub.swallowed.push(String(error));
            }
        }
    }

    const scenario = () => stub.scenario || claims.scenario || 'approve';

    // (options, data, callback), (options, callback), (callback); and the old order (data, options, callback), known by
    // where the category stands.
    function read(given) {
        const at = given.findIndex((value) => typeof value === 'function');
        const callback = at < 0 ? null : given[at];
        let [options, data] = at < 0 ? given : given.slice(0, at);
        const names = (value) => value && ['payment_method_category', 'payment_method_categories', 'instance_id'].some((name) => name in value);
        if (names(data) && !names(options)) [options, data] = [data, options];
        return { options: options || {}, data, callback };
    }

    function wrongOptions(options) {
        const several = options.payment_method_categories;
        const all = [].concat(several || [], options.payment_method_category === undefined ? [] : options.payment_method_category);
        if (several !== undefined && options.instance_id === undefined) {
            return failure('InstanceIDNotProvidedError', 'An `instance_id` is needed with `payment_method_categories`.');
        }
        if (options.instance_id !== undefined && !/^[\w-]+$/.test(String(options.instance_id))) {
            return failure('InvalidInstanceIDError', 'The `instance_id` is not valid.');
        }
        const unknown = all.find((name) => !CATEGORIES.includes(name));
        if (unknown !== undefined) {
            return failure('PaymentMethodCategoryNotSupportedError', `The payment method category is not supported: ${unknown}`);
        }
        const preferred = options.preferred_payment_method;
        if (preferred !== undefined && !PREFERRED.includes(preferred)) {
            return failure('PreferredPaymentMethodNotSupportedError', `The preferred payment method is not supported: ${preferred}`);
        }
        return null;
    }

    const nameOf = (options) => options.instance_id || options.payment_method_category || (claims && claims.session_type) || 'payments';
    const idOf = (name, what) => `klarna-${name.toLowerCase().replace(/_/g, '-')}-${what}`;
    const categoriesOf = (options) => [].concat(options.payment_method_categories || options.payment_method_category || []);

    // -- init

    function decode(text) {
        try {
            const part = text.split('.')[1].replace(/-/g, '+').replace(/_/g, '/');
            const bytes = Uint8Array.from(atob(part), (c) => c.charCodeAt(0));
            const read = JSON.parse(new TextDecoder().decode(bytes));
            return read && typeof read === 'object' ? read : null;
        } catch (error) {
            return null;
        }
    }

    function take(text) {
        const read = decode(text);
        if (!read) throw failure('InvalidClientTokenError', 'The client token is invalid: it may have been tampered with.');
        if (token !== null && token !== text) stale = true;
        token = text;
        claims = read;
    }

    function init(options) {
        const call = record('init', options);
        try {
            take(options && options.client_token);
        } catch (error) {
            call.threw = error.name;
            throw error;
        }
        return Payments;
    }

    // -- the frame in the page

    function find(container) {
        if (container instanceof Element) return container;
        if (typeof container !== 'string') return new TypeError('`container` must be a selector or an element.');
        let found = null;
        try {
            found = document.querySelector(container);
        } catch (error) {
            found = null;
        }
        return found || failure('InvalidContainerSelectorError', `The container selector matches nothing: ${container}`);
    }

    function destroy(instance) {
        if (instance.overlay) instance.overlay.close();
        if (underWay === instance) underWay = null;
        instance.gone = true;
        instance.frame.remove();
        instances.delete(instance.name);
    }

    // The instance of this name in this container; a frame that is there already stays.
    function mount(name, options, container) {
        const before = instances.get(name);
        if (before && before.container === container && before.frame.isConnected) return before;
        if (before) destroy(before);
        const categories = categoriesOf(options);
        const frame = document.createElement('iframe');
        frame.id = idOf(name, 'main');
        frame.title = 'Klarna';
        frame.setAttribute('scrolling', 'no');
        frame.setAttribute('frameborder', '0');
        Object.assign(frame.style, { height: '230px', width: '100%', minWidth: '280px', maxWidth: '600px', border: '0' });
        frame.src = `${claims.base_url}/frame?category=${encodeURIComponent(categories[0] || '')}`;
        const instance = { name, container, frame, categories, ready: false, waiting: [], overlay: null, gone: false, approved: null };
        instances.set(name, instance);
        container.append(frame);
        return instance;
    }

    window.addEventListener('message', (event) => {
        const instance = [...instances.values()].find((one) => one.frame.contentWindow === event.source);
        if (!instance || event.origin !== new URL(claims.base_url).origin || !event.data || event.data.klarna !== 'ready') return;
        instance.ready = true;
        instance.frame.style.height = `${event.data.height}px`;
        emit('heightChanged', event.data.height);
        for (const ready of instance.waiting.splice(0)) ready(true);
    });

    // A page that throws the frame away hears nothing more of what it had begun.
    setInterval(() => {
        for (const instance of [...instances.values()]) if (!instance.frame.isConnected) destroy(instance);
    }, WATCH_MS);

    // Whether the frame has said that it is there, in time.
    function bootstrap(instance) {
        if (instance.ready) return Promise.resolve(true);
        return new Promise((resolve) => {
            instance.waiting.push(resolve);
            setTimeout(() => resolve(false), stub.bootstrap_ms);
        });
    }

    const offered = (options) => categoriesOf(options).every((name) => !claims.categories || claims.categories.includes(name));

    function load(...given) {
        const { options, data, callback } = read(given);
        const call = record('load', options, data);
        const refuse = (error) => misuse(call, callback, { show_form: false }, error);
        if (options.client_token !== undefined) {
            try {
                take(options.client_token);
            } catch (error) {
                refuse(error);
            }
        }
        if (!claims) refuse(failure('ApplicationNotInitializedError', 'Call `init` first.'));
        const wrong = wrongOptions(options);
        if (wrong) refuse(wrong);
        const container = find(options.container);
        if (container instanceof Error) refuse(container);
        const act = scenario();
        if (act === 'throw_on_load') refuse(failure('InvalidClientTokenSignatureError', 'The signature of the client token is invalid.'));
        if (stale) for (const instance of [...instances.values()]) destroy(instance);
        stale = false;

        const instance = mount(nameOf(options), options, container);
        const answer = (value) => { if (!instance.gone) later(call, callback, value); };
        const hide = () => {
            instance.frame.style.display = 'none';
            answer({ show_form: false });
        };
        if (act === 'load_never_calls_back') return;
        if (act === 'load_timeout') {
            setTimeout(hide, LOAD_TIMEOUT_MS);
            return;
        }
        bootstrap(instance).then((ready) => {
            if (!ready || act === 'load_show_form_false' || !offered(options)) hide();
            else if (act === 'load_error_fields') answer({ show_form: true, error: { invalid_fields: ['billing_address.email'] } });
            else answer({ show_form: true });
        });
    }

    // -- the overlay, where the buyer decides

    function button(label, choose) {
        const made = document.createElement('button');
        made.type = 'button';
        made.textContent = label;
        Object.assign(made.style, { display: 'block', width: '100%', margin: '0.5rem 0', padding: '0.75rem', font: 'inherit',
            color: '#0b051d', background: '#ffa8cd', border: '1px solid #0b051d', cursor: 'pointer' });
        made.addEventListener('click', choose);
        return made;
    }

    // Calls `choose` once with approve, decline, fix or close; not at all when the frame leaves the page before.
    function open(instance, category, choose) {
        const before = document.activeElement;
        const overlay = document.createElement('div');
        overlay.id = idOf(instance.name, 'fullscreen');
        overlay.setAttribute('role', 'dialog');
        overlay.setAttribute('aria-modal', 'true');
        overlay.setAttribute('aria-label', 'Klarna');
        Object.assign(overlay.style, { position: 'fixed', inset: '0', zIndex: ON_TOP, display: 'flex', alignItems: 'center',
            justifyContent: 'center', background: 'rgba(11, 5, 29, 0.6)', font: '1rem/1.5 sans-serif' });
        const panel = document.createElement('div');
        Object.assign(panel.style, { background: '#fff', color: '#0b051d', padding: '1.5rem', width: '18rem', maxWidth: '90vw' });
        const heading = document.createElement('h2');
        heading.textContent = 'Klarna';
        const text = document.createElement('p');
        text.textContent = `Simulator: ${category}`;
        const still = document.createElement('style');
        still.textContent = 'body{overflow:hidden}';

        const close = () => {
            overlay.remove();
            still.remove();
            instance.overlay = null;
            emit('fullscreenOverlayHidden');
            if (before && before.isConnected && before.focus) before.focus();
        };
        const answer = (choice) => () => {
            if (!instance.overlay) return;
            close();
            choose(choice);
        };
        const buttons = [button('Approve', answer('approve')), button('Decline', answer('decline')),
            button('Wrong details', answer('fix')), button('Close', answer('close'))];
        overlay.addEventListener('keydown', (event) => {
            if (event.key === 'Escape') answer('close')();
            if (event.key !== 'Tab') return;
            event.preventDefault();
            const step = event.shiftKey ? buttons.length - 1 : 1;
            buttons[(buttons.indexOf(document.activeElement) + step) % buttons.length].focus();
        });
        panel.append(heading, text, ...buttons);
        overlay.append(panel);
        document.head.append(still);
        document.body.append(overlay);
        instance.overlay = { close };
        emit('fullscreenOverlayShown');
        buttons[0].focus();
    }

    // -- authorize, finalize, reauthorize

    // Asks Klarna for a token. Whatever goes wrong looks like a rejection, as it does with the real one.
    async function approve(category) {
        try {
            const body = new URLSearchParams({ session_id: claims.session_id, category });
            const reply = await fetch(`${claims.base_url}/authorizations`, { method: 'POST', body, credentials: 'omit' });
            if (!reply.ok) return REJECTED;
            const { authorization_token: given } = await reply.json();
            return { approved: true, show_form: true, authorization_token: given, finalize_required: false };
        } catch (error) {
            return REJECTED;
        }
    }

    const loadedInstance = (options) => {
        const instance = instances.get(nameOf(options));
        return instance && document.getElementById(idOf(instance.name, 'main')) === instance.frame ? instance : null;
    };

    function authorize(...given) {
        const { options, data, callback } = read(given);
        const call = record('authorize', options, data);
        const refuse = (error) => misuse(call, callback, { show_form: false, approved: false }, error);
        const wrong = wrongOptions(options);
        if (wrong) refuse(wrong);
        const instance = claims && loadedInstance(options);
        if (!instance) refuse(failure('ApplicationNotLoadedError', 'Call `load` first, with the same payment method category.'));
        if (underWay) {
            call.ignored = true;
            return;
        }
        if (!call.activation) {
            call.blocked = true;
            later(call, callback, ABORTED, SHORT_MS);
            return;
        }
        underWay = instance;
        const category = categoriesOf(options)[0] || (claims.categories || CATEGORIES)[0];
        const settle = (answer) => {
            if (instance.gone) return;
            underWay = null;
            later(call, callback, answer);
        };
        const approved = async () => {
            if (options.auto_finalize === false) {
                instance.approved = { category };
                settle({ approved: true, show_form: true, finalize_required: true });
                return;
            }
            const answer = await approve(category);
            if (answer.approved) instance.approved = { category, answer };
            settle(answer);
        };
        const soon = (act) => setTimeout(act, SHORT_MS);
        switch (scenario()) {
        case 'never_calls_back': return;
        case 'auto_approve': soon(approved); return;
        case 'abort': soon(() => settle(ABORTED)); return;
        case 'deny': soon(() => settle(REJECTED)); return;
        case 'invalid_fields': soon(() => settle(FIXABLE)); return;
        default:
        }
        const choices = { approve: approved, close: () => settle(ABORTED), decline: () => settle(REJECTED), fix: () => settle(FIXABLE) };
        open(instance, category, (choice) => choices[choice]());
    }

    // Both give the token of what the buyer has approved: finalize the same one, reauthorize the next.
    function again(method, fresh) {
        return (...given) => {
            const { options, data, callback } = read(given);
            const call = record(method, options, data);
            const refuse = (error) => misuse(call, callback, { show_form: false, approved: false }, error);
            if (!claims) refuse(failure('ApplicationNotInitializedError', 'Call `init` first.'));
            const wrong = wrongOptions(options);
            if (wrong) refuse(wrong);
            const instance = loadedInstance(options);
            if (!instance) refuse(failure('ApplicationNotLoadedError', 'Call `load` first, with the same payment method category.'));
            const approved = instance.approved;
            if (!approved) later(call, callback, REJECTED, SHORT_MS);
            else if (approved.answer && !fresh) later(call, callback, approved.answer, SHORT_MS);
            else {
                approve(approved.category).then((answer) => {
                    if (answer.approved) approved.answer = answer;
                    later(call, callback, answer);
                });
            }
        };
    }

    // Great Britain and the United States only.
    function loadPaymentReview(...given) {
        const { options, data, callback } = read(given);
        const call = record('loadPaymentReview', options, data);
        misuse(call, callback, { show_form: false }, claims
            ? failure('OperationNotSupportedError', 'The operation is not supported.')
            : failure('ApplicationNotInitializedError', 'Call `init` first.'));
    }

    // -- events

    function listenersOf(name) {
        if (listeners.has(name)) return listeners.get(name);
        throw failure('EventNotSupportedError', `The event is not supported: ${name}`);
    }

    function on(name, listener) {
        record('on', name);
        listenersOf(name).push(listener);
    }

    function off(name, listener) {
        record('off', name);
        const list = listenersOf(name);
        const kept = listener ? list.filter((one) => one !== listener) : [];
        list.splice(0, list.length, ...kept);
    }

    const Payments = { init, load, authorize, reauthorize: again('reauthorize', true), finalize: again('finalize', false),
        loadPaymentReview, on, off };
    window.KlarnaStub = stub;
    window.Klarna = window.Klarna || {};
    for (const name of ['Payments', 'Credit', 'DirectDebit', 'DirectBankTransfer']) window.Klarna[name] = Payments;
    // Read once: a page that sets it later is never called.
    if (typeof window.klarnaAsyncCallback === 'function') window.klarnaAsyncCallback();
})();
