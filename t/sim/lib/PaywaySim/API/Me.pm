package PaywaySim::API::Me;

# What a token with identity may ask about its own account (reference 7.1, 7.2, 8).

use v5.36;
use Mojo::JSON qw(false true);
use PaywaySim::Answer qw(refuse);

my %ARTICLES = (include_articles => {type => 'flag', default => 0});
my $CODE     = {type => 'code', required => 1};

sub endpoints ($class) {
    my %identity = (method => 'GET', identity => 1);
    return (
        {%identity, path => '/external/api/v1/me', scope => '/external/me/w', run => \&me},
        {%identity, path => '/external/api/v1/me/active_products', scope => '/external/me/w', params => \%ARTICLES,
            run => sub ($api, $call) { return {item => active_products($api, $call->{account}, $call->{params})} }},
        {%identity, path => '/external/api/v1/me/order/pre_validate_purchase', scope => '/external/me/order/w',
            params => {product_code => $CODE, subscription_extension => {type => 'flag'}}, run => \&pre_validate},
        {%identity, path => '/external/api/v1/me/eligible_for_campaign', scope => '/external/me/r',
            params => {campaign_code => $CODE}, run => \&eligible},
    );
}

sub me ($api, $call) {
    my $account = $call->{account};
    my $shape   = $api->sim->shape->get('me_fields');
    my %always  = (id => $account->{id}, email => $account->{email});
    return {item => \%always} if $shape eq 'minimal';
    my %item = (
        %always,
        status              => $account->{status},
        verified            => $account->{verified} // 1 ? true : false,
        customer_number     => $account->{customer_number},
        first_name          => $account->{first_name},
        last_name           => $account->{last_name},
        mobile_phone_number => $account->{mobile_phone_number},
        birth_date          => $account->{birth_date},
        tags                => [],
        address             => {map { ($_ => $account->{address}{$_}) } qw(first_name last_name street street_number
            staircase floor apartment_number zip_code city drop_box)},
        social_security_number => $account->{social_security_number},
        user_products => [map { _user_product($_) } @{$account->{products}}],
    );
    if ($shape eq 'null') { $item{$_} = undef for qw(first_name last_name customer_number) }
    return {item => \%item};
}

sub _user_product ($code) {
    return {
        product_code               => $code,
        state                      => 'activated',
        provision_service          => 'tulo',
        has_pending_change_request => false,
    };
}

# Shared with accounts/active_products, whose answer is the same.
sub active_products ($api, $account, $params) {
    my %item = (id => $account->{id}, active_products => [@{$account->{products}}], external_plus_products => []);
    my $empty = $api->sim->shape->get('active_products');
    unless (@{$account->{products}}) {
        $item{active_products} = undef if $empty eq 'null';
        delete $item{active_products} if $empty eq 'absent';
    }
    $item{active_articles} = [@{$account->{articles}}] if $params->{include_articles};
    return \%item;
}

sub _package ($api, $call, $code, $field) {
    return $api->sim->books->package($call->{organisation}, $code) // refuse(404, 'not_found', 'No such product', $field);
}

sub pre_validate ($api, $call) {
    my $package = _package($api, $call, $call->{params}{product_code}, 'product_code');
    my $reason  = $api->sim->books->may_purchase($call->{account}, $package);
    return {item => {can_purchase => $reason eq 'purchase_allowed' ? true : false, reason => $reason}};
}

sub eligible ($api, $call) {
    my $campaign = _package($api, $call, $call->{params}{campaign_code}, 'campaign_code');
    my $reason   = $api->sim->books->may_purchase($call->{account}, $campaign);
    return {item => {eligible => $reason eq 'purchase_allowed' ? true : false}};
}

1;
