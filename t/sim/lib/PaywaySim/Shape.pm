package PaywaySim::Shape;

# Switches for what the public documentation leaves open, and for lifetimes that a test cannot wait for. One table:
# code, control, --help and the README's test read it. A default is the documented or assumed behaviour.

use Mojo::Base -base, -signatures;
use PaywaySim::Answer qw(refuse);
use PaywaySim::Rules  qw(is_boolean is_number is_string);

our @TABLE = (
    # name, default, values (a list, or a type), meaning
    [journal => 'full', [qw(full counts)], 'what is kept of requests: all that was sent, or counts alone (GET /stats), for tests of very many'],
    [envelope => 'item', [qw(item flat)], 'one object is answered as {"item":{...}} or without the wrapper'],
    [extra_fields => 0, 'flag', 'add fields and claims that nobody documented; a client must ignore them'],
    [price => 'integer', [qw(integer decimal string)], 'how a price is written: 210, 210.00 or "210"'],
    [me_fields => 'full', [qw(full minimal null)], 'me: all fields; id and e-mail only; names and numbers null'],
    [active_products => 'list', [qw(list null absent)], 'an empty list of products: [], null, or left out'],
    [unknown_code => '404', [qw(404 empty)], 'payment_periods of a code that does not exist'],
    [error_bodies => 'code', [qw(code message empty html)], 'body of the undocumented 401 and 403'],
    [purchase_reason => '', 'text', 'when set, purchase validation and place_order say no with this reason'],

    [session_status => '200', [qw(200 201)], 'HTTP status of create_session'],
    [session_id => 'uuid', [qw(uuid hex)], 'klarna_payments_session_id: a UUID, or 24 hex digits'],
    [session_categories => 'none', [qw(none list)], 'create_session brings payment_method_categories'],
    [categories => 'pay_now,pay_later,direct_debit', 'text', 'the payment method categories of new sessions, comma between'],
    [session_error => '', 'text', 'when set, create_session is refused with this code'],
    [session_error_status => 400, 'status', 'HTTP status of session_error'],
    [klarna_session_lifetime => 172_800, 'seconds', 'life of a Klarna session'],
    [browser_fields => 'required', [qw(required optional)], 'browser_ip, browser_language, browser_user_agent of place_order'],
    [customer_info => 'full', [qw(full email)], 'customer_info of v2 needs all three fields, or the e-mail only'],
    [merchant_reference_length => 64, 'seconds', 'longest merchant_reference; 0 is no limit'],
    [traffic_source => 'keep', [qw(keep drop)], 'an order keeps its traffic_source, or loses one that Payway does not know'],
    [authorization_check => 'strict', [qw(strict off)], 'off: every place_order charges, used token and used session too'],
    [authorization_lifetime => 3600, 'seconds', 'life of an authorization token'],
    [order_status => '200', [qw(200 201)], 'HTTP status of place_order'],
    [order_fields => 'full', [qw(full minimal nested)], 'place_order answers ids and redirect; order_id and redirect; in order{}'],
    [redirect_field => 'redirect_url', [qw(redirect_url redirect_uri klarna_redirect_url absent)], 'the name of the redirect'],
    [redirect_value => '', 'text', 'when set, stands where the redirect stands'],
    [order_error => '', 'text', 'when set, place_order is refused with this code before it acts'],
    [order_error_status => 400, 'status', 'HTTP status of order_error'],
    [payment_failed_body => 'code', [qw(code message empty html)], 'body of the 403 "Payment method failed"'],
    [products_delay => 0, 'seconds', 'how long after a purchase its products show; counted when asked'],
    [orders_delay => 0, 'seconds', 'how long after a purchase the list of orders shows it; counted when asked'],
    [orders_page_size => 0, 'seconds', 'orders in a page of the list; 0 is all of them, without page_info'],
    [orders_first => 'oldest', [qw(oldest newest)], 'which order is the first of the list'],
    [klarna_url => '', 'text', 'when set, the base of URLs to Klarna instead of the address of the role'],
    [klarna_scenario => 'approve', [qw(approve auto_approve abort deny invalid_fields load_show_form_false
        load_error_fields load_timeout load_never_calls_back never_calls_back throw_on_load)],
        'what the widget does in sessions made from now on'],

    [token_lifetime => 3600, 'seconds', 'life of an access token'],
    [token_type => 'bearer', 'text', 'token_type of a token answer; empty leaves it out'],
    [expires_in => 'number', [qw(number string absent)], 'how a token answer writes expires_in'],
    [scope_error => '400', [qw(400 reduced)], 'a scope that the client lacks: invalid_scope, or left out of the token'],
    [refresh_rotation => 0, 'flag', 'a refresh token works once and the answer brings the next'],
    [ticket_lifetime => 60, 'seconds', 'life of an authentication ticket'],

    [ticket => 'normal', [qw(normal always never identify)],
        'when `at` is given: lks != loggedin; also with lks=loggedin; never; by identify and logins only'],
    [claims => 'full', [qw(full minimal bare)], 'SSO2 answers carry cid, iss, aud and times; times only; neither'],
    [answer_iss => 'pw-sso', 'text', 'iss of full SSO2 answers'],
    [answer_aud => '', 'text', 'aud of full SSO2 answers; empty means the client id'],
    [answer_lifetime => 60, 'seconds', 'exp of SSO2 answers, from now'],
    [absent_claims => 'omit', [qw(omit empty)], '`at` and `err` without a value: left out, or ""'],
    [sso_error_status => 200, 'status', 'HTTP status of a signed SSO2 answer with `err`'],
    [identify_error => '', 'text', 'when set, identify comes back with this `err` and no session'],
    [request_lifetime => 'documented', [qw(documented any)],
        'longest exp of SSO2 requests: 10 s, identify 60 s, createsession 24 h; or any'],
    [clock_skew => 0, 'offset', 'seconds by which the clock of SSO2 is ahead'],
    [sid => 'stable', [qw(stable rotate)], 'a login keeps the sid, or gives a new one (the old leads to the same session)'],
    [device_limit => 0, 'seconds', 'logged-in sessions per account; the oldest is terminated; 0 is no limit'],
    [freeze_seconds => 3600, 'seconds', 'how long five failures within an hour freeze an account'],
);

my %ROW = map { ($_->[0] => $_) } @TABLE;

sub names ($class) { return map { $_->[0] } @TABLE }

sub get ($self, $name) {
    die "no shape $name\n" unless $ROW{$name};
    return $self->{set}{$name} // $ROW{$name}[1];
}

sub all ($self) { return {map { ($_ => $self->get($_)) } names(undef)} }

sub clear ($self) { delete $self->{set} }

my %TYPE = (
    flag    => sub ($v) { is_boolean($v) || $v =~ /\A[01]\z/ },
    text    => sub ($v) { !ref $v },
    seconds => sub ($v) { !ref $v && $v =~ /\A\d{1,9}\z/a },
    offset  => sub ($v) { !ref $v && $v =~ /\A-?\d{1,9}\z/a },
    status  => sub ($v) { !ref $v && $v =~ /\A[2-5]\d\d\z/a },
);

# All or nothing: a mistyped switch must not leave half a test set up.
sub set ($self, $wanted) {
    for my $name (sort keys %$wanted) {
        my $row   = $ROW{$name} // refuse(400, 'unknown_parameter', "No such switch: $name", $name);
        my $value = $wanted->{$name} // '';
        my $fits  = ref $row->[2] ? scalar grep { $_ eq $value } @{$row->[2]} : $TYPE{$row->[2]}->($value);
        refuse(400, 'invalid_parameter', 'Use ' . (ref $row->[2] ? join('|', @{$row->[2]}) : $row->[2]), $name)
            unless $fits;
    }
    for my $name (keys %$wanted) {
        my $type = $ROW{$name}[2];
        my $value = $wanted->{$name} // '';
        $self->{set}{$name} = ref $type || $type eq 'text' ? "$value" : $value + 0;
    }
    return $self->all;
}

sub help ($class) {
    return join '', map {
        sprintf "  %-17s %-26s %s\n", $_->[0], (ref $_->[2] ? join('|', @{$_->[2]}) : $_->[2]) . " ($_->[1])", $_->[3]
    } @TABLE;
}

1;
