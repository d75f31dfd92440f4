/* A purchase: its states, and which event leads from one to another. The record is what the ledger keeps of it. Pure. */
#ifndef PWK_PURCHASE_H
#define PWK_PURCHASE_H

#include <apr_pools.h>
#include <apr_time.h>

#include "pwk_payway.h"

typedef enum {
    PWK_PURCHASE_CREATED,   /* a Klarna session is there, or about to be; nothing was ordered */
    PWK_PURCHASE_PLACING,   /* committed before the order is sent: from here on only an answer, or a search, ends it */
    PWK_PURCHASE_PLACED,    /* Payway has the order */
    PWK_PURCHASE_CONFIRMED, /* … and nothing is waited for any more: the reader may buy again */
    PWK_PURCHASE_FAILED,    /* refused, not completed, or found not to exist */
    PWK_PURCHASE_UNKNOWN,   /* sent, and the answer was lost: found out by asking, never sent again */
    PWK_PURCHASE_MANUAL,    /* contradictory: waits for an operator */
    PWK_PURCHASE_EXPIRED,   /* never authorised */
    PWK_PURCHASE_STATES
} pwk_purchase_state;

typedef enum {
    PWK_EVENT_CLAIM,         /* the reader authorised it, and all that placing needs is at hand */
    PWK_EVENT_NOT_SENT,      /* proven: not a byte of the order left this host */
    PWK_EVENT_ACCEPTED,      /* Payway answered with an order */
    PWK_EVENT_REFUSED,       /* Payway said no before it did anything */
    PWK_EVENT_NOT_COMPLETED, /* Payway began and broke off: payment failed, a raise_on_* condition */
    PWK_EVENT_LOST,          /* sent, and no answer that can be believed */
    PWK_EVENT_OVERDUE,       /* no answer by `due`: whoever placed it is gone */
    PWK_EVENT_FOUND,         /* an order with our reference is there */
    PWK_EVENT_ABSENT,        /* proven by complete readings: there is none */
    PWK_EVENT_CONTRADICTED,  /* what Payway says does not fit together */
    PWK_EVENT_SHOWN,         /* nothing is waited for: Payway shows the products, or they start later */
    PWK_EVENT_AGED,          /* the Klarna session is over, or the reader has the products already */
    PWK_EVENTS
} pwk_purchase_event;

/* What whoever moved the purchase does next. */
typedef enum {
    PWK_DO_NOTHING,
    PWK_DO_PLACE,    /* send the order, once */
    PWK_DO_GRANT,    /* open the products to the reader */
    PWK_DO_FIND_OUT, /* ask Payway for the order; open the products meanwhile */
    PWK_DO_REREAD,   /* read the reader's products anew: a failed payment may have ended a subscription */
    PWK_DO_ALARM     /* tell the operator */
} pwk_purchase_action;

/* A row of the ledger. Texts are never NULL. Times 0: never. */
typedef struct {
    const char *id;           /* 32 hex digits, random; unguessable, since the confirmation URL holds it */
    const char *site;         /* base URL of the virtual host that sold it */
    const char *organisation; /* with `environment` and `account`: whose purchase; one runs at a time */
    const char *environment;  /* "stage", "production", or "custom" */
    const char *account;
    pwk_purchase_state state;
    const char *offer;      /* its name in the configuration that sold it */
    const char *code;       /* package or campaign code */
    pwk_period_type type;   /* period_type */
    const char *period;     /* period_id; "" when Payway named none */
    const char *start;      /* start_date, or "" */
    int trial;              /* sold by place_trial_order */
    const char *products;   /* product codes that it gives, comma-separated */
    const char *facts;      /* JSON: what the reader was shown of offer and price (pwk_facts_write) */
    const char *sale;       /* sealed: the settings of the location that sold it (pwk_sale) */
    const char *session;    /* sealed: the Klarna session (pwk_klarna_session); "" while it is being made */
    const char *redirect;   /* sealed: Klarna's redirect URL; "" */
    const char *token_hash; /* SHA-256 of the authorization token that claimed it, hex; "" before */
    const char *order_id;   /* Payway's; "" before, or when it never said */
    const char *error;      /* the code that ended it, Payway's word or ours; "" */
    const char *field;      /* the field at fault, or "" */
    apr_time_t created;     /* all times in whole seconds */
    apr_time_t changed;
    apr_time_t expires; /* of the Klarna session: 48 h */
    apr_time_t claimed; /* when it was sent, or about to be */
    apr_time_t due;     /* CREATED without a session: the maker has until then; PLACING: the answer is due */
    apr_time_t grant_from, grant_until; /* opens its products in between, unless Payway shows them itself */
    apr_time_t looked;                  /* the order was last searched for */
    int negatives;                      /* complete readings of the order list without it */
    int shown;                          /* Payway has shown the products */
    apr_time_t next_look;               /* somebody looks at it then without being asked (pwk_schedule) */
    const char *note;                   /* what an operator wrote; "" */
} pwk_purchase;

/* Where `event` leads from `state`. Returns 0, and leaves the others alone, where that event means nothing: the caller
 * reads the row again. */
int pwk_purchase_next(pwk_purchase_state *next, pwk_purchase_action *action, pwk_purchase_state state,
                      pwk_purchase_event event);

/* "created", "placing", …: the ledger's and the interface's word. -1 for a word that is none. */
const char *pwk_purchase_word(pwk_purchase_state state);
int pwk_purchase_state_of(const char *word);

/* Whether the reader must not start another purchase while this one is in that state (the unique index on the ledger
 * says the same). */
int pwk_purchase_is_running(pwk_purchase_state state);

/* Whether it is PLACING and whoever placed it must be gone by now. */
int pwk_purchase_is_overdue(const pwk_purchase *purchase, apr_time_t now);

/* Whether it opens its products now although Payway does not show them. */
int pwk_purchase_grants(const pwk_purchase *purchase, apr_time_t now);

/* Sets grant_from and grant_until for a purchase claimed at `now`: from `start` (local midnight) or at once, 24 h. */
void pwk_purchase_set_grant(pwk_purchase *purchase, apr_time_t now);

/* Whether what it bought starts later than today (local date of `now`). */
int pwk_purchase_starts_later(const pwk_purchase *purchase, apr_time_t now);

/* A new id, in `p`; NULL when there is no randomness. */
const char *pwk_purchase_new_id(apr_pool_t *p);
/* Whether `text` has the form of one. */
int pwk_purchase_is_id(const char *text);

#endif
