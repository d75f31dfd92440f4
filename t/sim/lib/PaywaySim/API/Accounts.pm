package PaywaySim::API::Accounts;

# What a client may ask about accounts without their identity (reference 5.8, 7.3, 8).

use v5.36;
use Mojo::JSON qw(false true);
use POSIX      qw(strftime);
use PaywaySim::API::Me;
use PaywaySim::Answer qw(refuse);

my $EMAIL = {type => 'email', required => 1};

sub endpoints ($class) {
    return (
        {method => 'GET', path => '/external/api/v1/accounts/active_products', scope => '/external/account/r',
            params => {account_id => {type => 'id', required => 1}, include_articles => {type => 'flag', default => 0}},
            run => \&active_products},
        {method => 'GET', path => '/external/api/v4/accounts/pre_validate_purchase', scope => '/external/account/r',
            params => {product_code => {type => 'code', required => 1}, contact_email => $EMAIL}, run => \&pre_validate},
        {method => 'GET', path => '/external/api/v2/order_validation', scope => '/external/order_validation/r',
            params => {product_code => {type => 'code', required => 1}, account_id => {type => 'id'},
                date_of_birth => {type => 'date'}, ssn => {type => 'text'}},
            one_of => [qw(account_id date_of_birth ssn)], run => \&order_validation},
        {method => 'GET', path => '/external/api/v1/accounts/get_authentication_attempts',
            scope => '/external/account/r', params => {email => $EMAIL}, run => \&attempts},
        {method => 'POST', path => '/external/api/v1/accounts/create_authentication_attempt',
            scope => '/external/account/w', one_of => [qw(account_id email)],
            params => {account_id => {type => 'id'}, email => {type => 'email'},
                login_successful => {type => 'flag', required => 1}, ip_address => {type => 'ip'},
                user_agent => {type => 'text'}, persist => {type => 'flag'}},
            run => \&create_attempt},
    );
}

sub _account ($api, $call) {
    return $api->sim->books->account($call->{organisation}, $call->{params}{account_id})
        // refuse(404, 'not_found', 'The account does not exist');
}

sub active_products ($api, $call) {
    return {item => PaywaySim::API::Me::active_products($api, _account($api, $call), $call->{params})};
}

# An e-mail that nobody has may buy.
sub pre_validate ($api, $call) {
    my $books   = $api->sim->books;
    my $package = PaywaySim::API::Me::_package($api, $call, $call->{params}{product_code}, 'product_code');
    my $account = $books->account_by_email($call->{organisation}, $call->{params}{contact_email});
    my $reason  = $books->may_purchase($account, $package);
    return {item => {
        can_purchase                          => $reason eq 'purchase_allowed' ? true : false,
        can_purchase_with_active_subscription => false,
        reason                                => $reason,
    }};
}

sub order_validation ($api, $call) {
    PaywaySim::API::Me::_package($api, $call, $call->{params}{product_code}, 'product_code');
    _account($api, $call) if defined $call->{params}{account_id};
    my $forced = $api->sim->shape->get('purchase_reason');
    return {item => {
        purchase_allowed      => length $forced ? false : true,
        reason                => length $forced ? $forced : 'purchase_allowed',
        message               => '',
        fallback_package_code => undef,
    }};
}

sub _attempts_of ($api, $call, $email) {
    my $state = $api->sim->books->attempts($call->{organisation}, $email);
    my $until = $state->{frozen_until};
    return {item => {
        account_frozen                    => $until ? true : false,
        remaining_authentication_attempts => $state->{remaining},
        frozen_until => $until ? strftime('%Y-%m-%dT%H:%M:%S.000Z', gmtime $until) : undef,
    }};
}

sub attempts ($api, $call) { return _attempts_of($api, $call, $call->{params}{email}) }

# The answer is assumed to be that of get_authentication_attempts.
sub create_attempt ($api, $call) {
    my $params = $call->{params};
    my $email  = $params->{email} // _account($api, $call)->{email};
    $api->sim->books->note_attempt($call->{organisation}, $email, $params->{login_successful});
    return _attempts_of($api, $call, $email);
}

1;
