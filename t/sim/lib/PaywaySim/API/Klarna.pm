package PaywaySim::API::Klarna;

# Klarna Payments at Payway: sessions and orders (reference 3). An order is refused in this order: session, kind of
# order, authorization, payment, purchase rules, account information. Only then money moves.

use v5.36;
use Mojo::JSON  qw(false true);
use POSIX       qw(mktime strftime);
use Time::HiRes ();
use PaywaySim::Answer qw(html json refuse);
use PaywaySim::Random qw(random_hex random_uuid);
use PaywaySim::Seed   qw(seed_account);

my %SESSION = (
    code                           => {type => 'code', required => 1, min => 1, max => 1024},
    period_type                    => {type => 'word'},
    period_id                      => {type => 'id'},
    confirmation_url               => {type => 'url', required => 1},
    start_date                     => {type => 'date'},
    disable_account_info_overwrite => {type => 'flag', default => 0},
);
my %ORDER = (
    klarna_authorization_token       => {type => 'text', required => 1},
    klarna_payments_session_id       => {type => 'text', required => 1},
    browser_ip                       => {type => 'ip'},
    browser_language                 => {type => 'text'},
    browser_user_agent               => {type => 'text'},
    traffic_source                   => {type => 'source', min => 0, max => 128},
    merchant_reference               => {type => 'ref'},
    raise_on_ssn_already_taken_error => {type => 'flag', default => 1},
    raise_on_ssn_already_set_error   => {type => 'flag', default => 0},
    raise_on_account_update_error    => {type => 'flag', default => 0},
    raise_on_delivery_address_error  => {type => 'flag', default => 0},
);
my %CUSTOMER = (type => 'object', required => 1,
    fields => {email => {type => 'email', required => 1}, first_name => {type => 'text'}, last_name => {type => 'text'}});

sub endpoints ($class) {
    my %session_v1 = (%SESSION, period_type => {type => 'word', required => 1});
    my %order_v2   = (%ORDER, customer_info => \%CUSTOMER);
    my $order      = sub ($api, $call) { place($api, $call, 0) };
    my $trial      = sub ($api, $call) { place($api, $call, 1) };
    my @table      = (
        # version, name, identity, params, run
        [v1 => 'create_session',                 1, \%session_v1, \&create_session],
        [v1 => 'create_session_without_account', 0, \%session_v1, \&create_session],
        [v2 => 'create_session',                 0, \%SESSION,    \&create_session],
        [v1 => 'place_order',                    1, \%ORDER,      $order],
        [v1 => 'place_trial_order',              1, \%ORDER,      $trial],
        [v2 => 'place_order',                    0, \%order_v2,   $order],
        [v2 => 'place_trial_order',              0, \%order_v2,   $trial],
    );
    return map {
        my ($version, $name, $identity, $params, $run) = @$_;
        +{method => 'POST', path => "/external/api/$version/klarna_payments/$name", identity => $identity,
            scope => '/external/klarna_payments/w', params => $params, run => $run}
    } @table;
}

# A refusal that a test has ordered: `session_error` or `order_error`.
sub _ordered_refusal ($shape, $what) {
    my $code = $shape->get("${what}_error");
    refuse($shape->get("${what}_error_status"), $code, 'Refused by the switch') if length $code;
}

sub _invalid ($field, $message) { refuse(400, 'invalid_parameter', $message, $field) }

# -- create_session

sub create_session ($api, $call) {
    my $params = $call->{params};
    my $sim    = $api->sim;
    _ordered_refusal($sim->shape, 'session');
    my $package = $sim->books->package($call->{organisation}, $params->{code});
    refuse(404, 'not_found', 'No such package or campaign', 'code') unless $package && $package->{active};
    my $period = _period($package, $params);
    _check_start($params->{start_date}) if defined $params->{start_date};
    my @categories = grep { length } split /\s*,\s*/, $sim->shape->get('categories');
    my $session    = $sim->books->klarna->new_session(
        (map { ($_ => $params->{$_}) } qw(code confirmation_url start_date disable_account_info_overwrite)),
        client       => $call->{client}{id},
        organisation => $call->{organisation},
        account      => $call->{account} ? $call->{account}{id} : undef,
        period       => $period->{id},
        period_id    => defined $params->{period_id} ? $period->{id} : undef,
        period_type  => $period->{type},
        categories   => \@categories,
        scenario     => $sim->shape->get('klarna_scenario'),
    );
    my %item = (klarna_payments_session_id => $session->{id}, klarna_client_token => $sim->klarna->client_token($session));
    $item{payment_method_categories} = [map { $sim->klarna->category($_) } @categories]
        if $sim->shape->get('session_categories') eq 'list';
    return {status => $sim->shape->get('session_status'), item => \%item};
}

# The period that is named, or the first of the type.
sub _period ($package, $params) {
    my ($id, $type) = map { defined ? lc : undef } @$params{qw(period_id period_type)};
    _invalid('period_type', 'Parameter is required') unless defined $id || defined $type;
    _invalid('period_type', 'A campaign is always recurring')
        if $package->{kind} eq 'campaign' && defined $type && $type ne 'recurring';
    my @sold = grep { $_->{enabled} && $_->{payment_method} eq 'klarna_payments' } @{$package->{periods}};
    my ($period) = grep { defined $id ? $_->{id} eq $id : $_->{type} eq $type } @sold;
    _invalid(defined $id ? 'period_id' : 'period_type', 'No such period is sold') unless $period;
    _invalid('period_id', 'The period is of another type') if defined $type && $period->{type} ne $type;
    return $period;
}

sub _check_start ($date) {
    my ($year, $month, $day) = split /-/, $date;
    my $noon = mktime(0, 0, 12, $day, $month - 1, $year - 1900, 0, 0, -1);
    _invalid('start_date', 'No such day') unless defined $noon && strftime('%Y-%m-%d', localtime $noon) eq $date;
    _invalid('start_date', 'The day is in the past') if $date lt strftime('%Y-%m-%d', localtime);
}

# -- place_order, place_trial_order

sub place ($api, $call, $trial) {
    my ($sim, $params) = ($api->sim, $call->{params});
    my ($books, $shape) = ($sim->books, $sim->shape);
    _check_fields($shape, $params);
    _ordered_refusal($shape, 'order');

    my $strict  = $shape->get('authorization_check') eq 'strict';
    my $account = $call->{account} // _customer($books, $call->{organisation}, $params->{customer_info});
    my $session = _session($books, $call, $account, $strict);
    my $package = $books->package($call->{organisation}, $session->{code});
    my ($period) = grep { $_->{id} eq $session->{period} } @{$package->{periods}};
    _check_kind($session, $package, $trial);
    my $authorization = _authorization($books, $session, $params, $trial, $strict);

    # The failed payment comes before the rules: only so can it end a subscription that is active. It spends the
    # authorization; a refusal by the rules leaves it.
    my $person = $books->klarna->person($account);
    my $spend  = sub { $authorization->{used} = 1 if $authorization };
    $spend->(), _payment_failed($books, $shape, $account, $package) if ($person->{payment} // '') eq 'failed';
    my $reason = $shape->get('purchase_reason') || ($strict ? $books->may_purchase($account, $package) : 'purchase_allowed');
    refuse(400, $reason, 'The purchase rules do not permit this') if $reason ne 'purchase_allowed';
    $spend->();
    my $news = $trial ? {} : _account_information($books, $account, $person, $session, $params);

    $books->add_account($account) unless $books->any_account($account->{id});
    @$account{keys %{$news->{account}}} = values %{$news->{account}};
    my %klarna = (klarna_order_id => random_uuid(), receipt_id => random_hex(24));
    my $source = $shape->get('traffic_source') eq 'keep' ? $params->{traffic_source} : undef;
    my $order  = $books->place_order($account, $package, $period, %klarna,
        trial => $trial, start_date => $session->{start_date}, addresses => $news->{addresses} // [],
        merchant_reference => $params->{merchant_reference}, traffic_source => $source,
        transaction_number => $klarna{klarna_order_id});
    $session->{used} = 1;
    $books->klarna->charge(
        token => $params->{klarna_authorization_token}, session => $session->{id}, account => $account->{id},
        merchant_reference => $params->{merchant_reference}, order_id => $order->{order_id},
        klarna_order_id => $klarna{klarna_order_id}, amount => $trial ? 0 : $period->{price} + 0,
        trial => $trial ? true : false);
    return {status => $shape->get('order_status'), item => _item($sim, $order)};
}

sub _check_fields ($shape, $params) {
    my @needed = $shape->get('browser_fields') eq 'required' ? qw(browser_ip browser_language browser_user_agent) : ();
    for my $name (@needed) { _invalid($name, 'Parameter is required') unless defined $params->{$name} }
    my $customer = $params->{customer_info};
    for my $name ($customer && $shape->get('customer_info') eq 'full' ? qw(first_name last_name) : ()) {
        _invalid("customer_info.$name", 'Parameter is required') unless defined $customer->{$name};
    }
    my $longest = $shape->get('merchant_reference_length');
    _invalid('merchant_reference', "Parameter must be between 1 and $longest")
        if $longest && length($params->{merchant_reference} // '') > $longest;
}

# The account with this e-mail, or a new one that is in the books only when the purchase is made. Its password is set
# by way of an e-mail, so nobody knows it yet.
sub _customer ($books, $organisation, $customer) {
    return $books->account_by_email($organisation, $customer->{email})
        // seed_account('customer_info', {%$customer, organisation => $organisation, password => random_hex(32)});
}

sub _session ($books, $call, $account, $strict) {
    my $field   = 'klarna_payments_session_id';
    my $none    = sub ($why) { refuse(404, 'not_found', $why, $field) };
    my $session = $books->klarna->session($call->{params}{$field});
    $none->('No such session') unless $session && $session->{client} eq $call->{client}{id};
    # With identity the session must be the account's own; without, it may be nobody's.
    my $owner = $session->{account} // ($call->{account} ? '' : $account->{id});
    $none->('No such session') if $owner ne $account->{id};
    return $session unless $strict;
    $none->('The session is used')    if $session->{used};
    $none->('The session is expired') unless $books->klarna->is_open($session);
    return $session;
}

sub _check_kind ($session, $package, $trial) {
    my $field = 'klarna_payments_session_id';
    _invalid($field, 'Use ' . ($package->{trial} ? 'place_trial_order' : 'place_order')) if $package->{trial} xor $trial;
    _invalid($field, 'A trial order needs a session with period_id') if $trial && !defined $session->{period_id};
}

# Klarna's words: 404 when the token is unknown, expired or superseded, 403 when it is consumed.
sub _authorization ($books, $session, $params, $trial, $strict) {
    my $field = 'klarna_authorization_token';
    my $given = $books->klarna->authorization($params->{$field});
    return $given unless $strict;
    refuse(404, 'not_found', 'Invalid authorization token', $field)
        if !$given || $given->{session} ne $session->{id} || $given->{superseded};
    refuse(403, 'invalid_operation', 'Authorization token already consumed', $field) if $given->{used};
    refuse(404, 'not_found', 'Invalid authorization token', $field) if $given->{expires} <= Time::HiRes::time();
    _invalid($field, 'A trial order needs direct_debit') if $trial && $given->{category} ne 'direct_debit';
    return $given;
}

# The one documented refusal, and what Payway does then.
sub _payment_failed ($books, $shape, $account, $package) {
    $books->end_subscription($account, $package);
    my $kind   = $shape->get('payment_failed_body');
    my %body   = (message => 'Payment method failed', $kind eq 'code' ? (code => 'payment_method_failed') : ());
    my $answer = $kind eq 'html' ? html(403, "<html><body><h1>403</h1></body></html>\n") : json(403, \%body);
    $answer->{body} = '' if $kind eq 'empty';
    die $answer;
}

# What Klarna tells of the customer, as far as it is to be written: {account, addresses}. Klarna's information counts,
# unless the session keeps what the account has. Each `raise_on_*` that is set refuses where its condition holds; where
# it is not set the purchase goes on without that piece.
sub _account_information ($books, $account, $person, $session, $params) {
    my $raise = sub ($name, $message) { refuse(400, $name, $message) if $params->{"raise_on_$name"} };
    my $keep  = $session->{disable_account_info_overwrite};
    my $open  = sub ($member) { !$keep || !length($account->{$member} // '') };
    my %known = map { ($_ => 1) } grep { length($account->{$_} // '') } keys %$account;
    my %write;

    if (defined $person->{ssn} && $open->('social_security_number')) {
        my @others = grep { $_->{id} ne $account->{id} && ($_->{social_security_number} // '') eq $person->{ssn} }
            $books->accounts_of($account->{organisation});
        if    (@others) { $raise->('ssn_already_taken_error', 'The ssn is taken by another account') }
        elsif ($known{social_security_number}) { $raise->('ssn_already_set_error', 'The account has an ssn already') }
        else                                   { $write{social_security_number} = $person->{ssn} }
    }
    if ($person->{bad_account_data}) {
        $raise->('account_update_error', 'Name, birth date or address cannot be updated');
    }
    else {
        my %news = (first_name => 'given_name', last_name => 'family_name', birth_date => 'birth_date');
        $write{$_} = $person->{$news{$_}} for grep { defined $person->{$news{$_}} && $open->($_) } keys %news;
        $write{address} = _address($person) if defined $person->{street_address} && $open->('address');
    }
    $write{mobile_phone_number} = $person->{phone} if defined $person->{phone} && $open->('mobile_phone_number');
    if ($person->{bad_delivery_address}) {
        $raise->('delivery_address_error', 'The delivery address is not valid');
        return {account => \%write};
    }
    return {account => \%write, addresses => [$person->{delivery_address} // ()]};
}

sub _address ($person) {
    return {first_name => $person->{given_name}, last_name => $person->{family_name}, street => $person->{street_address},
        zip_code => $person->{postal_code}, city => $person->{city}};
}

sub _item ($sim, $order) {
    my $shape = $sim->shape;
    my $name  = $shape->get('redirect_field');
    my $url   = $shape->get('redirect_value') || $sim->klarna->redirect_url($order->{klarna_order_id});
    my @redirect = $name eq 'absent' ? () : ($name => $url);
    my $fields   = $shape->get('order_fields');
    return {order_id => $order->{order_id}, @redirect} if $fields eq 'minimal';
    my %all = ((map { ($_ => $order->{$_}) } qw(order_id klarna_order_id receipt_id)), @redirect);
    return $fields eq 'nested' ? {order => \%all} : \%all;
}

1;
