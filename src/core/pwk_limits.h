/* Every bound in one place. Each is tested one below, at it, and one above, where it is enforced. */
#ifndef PWK_LIMITS_H
#define PWK_LIMITS_H

#define PWK_CODE_MAX 64             /* a product, package or campaign code that a directive may name */
#define PWK_PRODUCTS_MAX 32         /* product codes that one virtual host may name */
#define PWK_PRODUCTS_BYTES_MAX 1024 /* all those codes together: they must fit the cookie */
#define PWK_OFFERS_MAX 32           /* offers of one virtual host */
#define PWK_PERIODS_MAX 16          /* payment periods shown for one offer */
#define PWK_ACCOUNT_MAX 64          /* an account id; Payway's are 24 hex digits */
#define PWK_SID_MAX 128             /* an SSO2 session id, opaque */
#define PWK_TICKET_MAX 2048         /* an authentication ticket, opaque */
#define PWK_TOKEN_MAX 8192          /* an access token, opaque */
#define PWK_JWT_MAX 8192            /* one SSO2 message */
#define PWK_JSON_MAX (256 * 1024)   /* one answer of the API */
#define PWK_JSON_DEPTH_MAX 32       /* nesting of such an answer */
#define PWK_ITEMS_MAX 1000          /* members of a list in such an answer */
#define PWK_PRICE_MAX 100000000   /* of one period, in öre: a million kronor; a double still tells every öre apart */
#define PWK_PERIOD_LENGTH_MAX 999 /* days, weeks, months or years of one period */
#define PWK_HEADERS_MAX (64 * 1024) /* header bytes of one answer of the API */
#define PWK_FORM_MAX (16 * 1024)    /* a form that a browser posts */
#define PWK_FIELDS_MAX 32           /* fields of a form or a query */
#define PWK_RETURN_MAX 2048         /* path and query that a reader comes back to */
#define PWK_URL_MAX 4096            /* an URL in a directive or in an answer */
#define PWK_COOKIE_MAX 2048         /* the value of one of our cookies */
#define PWK_TEXT_MAX 512            /* one text that a page shows (name, description) */
#define PWK_EMAIL_MAX 254           /* RFC 5321 §4.5.3.1.3 */
#define PWK_PASSWORD_MAX 1024       /* a password typed into our own form */
#define PWK_USER_AGENT_MAX 256      /* what we pass on of a browser's User-Agent */
#define PWK_SALE_MAX 3072           /* the sealed sale in the wall's form */
#define PWK_PURCHASE_ID_LEN 32      /* a purchase's id, hex digits */
#define PWK_REFERENCE_MAX 64        /* merchant_reference: the id, '_' and the publisher's own */
#define PWK_TRAFFIC_SOURCE_MAX 128  /* traffic_source of an order (payway-api §9) */
#define PWK_SESSION_ID_MAX 128      /* klarna_payments_session_id, opaque */
#define PWK_CLIENT_TOKEN_MAX 8192   /* klarna_client_token, a JWT */
#define PWK_AUTHORIZATION_MAX 1024  /* klarna_authorization_token: it must fit a cookie, sealed */
#define PWK_CATEGORIES_MAX 8        /* payment method categories on the purchase page */
#define PWK_ORDER_ID_MAX 64         /* Payway's order id */
#define PWK_SECRET_MIN 32           /* bytes of PaywayCryptoKey */
#define PWK_SEAL_DAYS_MAX 31        /* days that a sealed string can be opened, whatever is in it */

#define PWK_CLOCK_LEEWAY_S 120                  /* clocks of our own hosts: how far one may be ahead of another */
#define PWK_READER_LIFE_S (30 * 24 * 3600)      /* the reader's cookie */
#define PWK_LOGIN_LIFE_S 600                    /* a login under way */
#define PWK_SALE_LIFE_S (24 * 3600)             /* a wall left open in a tab */
#define PWK_SESSION_LIFE_S (48 * 3600)          /* a Klarna session (guide, step 2) */
#define PWK_GRANT_S (24 * 3600)                 /* how long a purchase opens what Payway does not show yet */
#define PWK_GRANT_ALARM_S (15 * 60)             /* … and when that is worth an alarm */
#define PWK_IDENTITY_PAGE_S (55 * 60)           /* life of the token with identity that the purchase page sees to */
#define PWK_IDENTITY_MIN_S 120                  /* … and that a call at least needs */
#define PWK_RESUME_LIFE_S 600                   /* an authorization that waits for a login */
#define PWK_AUTHORIZATION_LIFE_S (65 * 60)      /* Klarna's authorization is dead then (60 min, and some) */
#define PWK_UNKNOWN_S (48 * 3600)               /* how long an outcome is looked for before an operator has to */
#define PWK_LOOK_S 5                            /* a returning reader triggers a search this often at most */
#define PWK_NEGATIVES_MIN 3                     /* complete readings without the order before it counts as absent */
#define PWK_NEGATIVES_SET_BACK 5                /* … and where the clock was set back, which hides how old it is */
#define PWK_NEGATIVE_GAP_S 900                  /* … which lie this far apart: a clock that jumps proves nothing */
#define PWK_ORDER_TIMEOUT_MAX_S 600             /* of PaywayOrderTimeout */
#define PWK_KEEP_UNSOLD_S (30 * 24 * 3600)      /* rows of the ledger that came to nothing */
#define PWK_KEEP_S (400 * 24 * 3600)            /* … and those that ended otherwise */
#define PWK_LEDGER_DOWN_S 30                    /* how long walls say that nothing is sold after the ledger failed */
#define PWK_WALL_RECHECK_S 10                   /* a logged-in reader at the wall is asked about this often at most */
#define PWK_CLOCK_SKEW_S 300                    /* a record from further in the future than this is not believed */
#define PWK_SSO2_LEEWAY_S 120                   /* clocks of two hosts; the vendor's own client allows the same */
#define PWK_SSO2_SPAN_MAX_S 600                 /* exp - iat of a message, at most */
#define PWK_SSO2_FROZEN_MAX_S (366 * 24 * 3600) /* how long an account can be said to stay frozen */

#endif
