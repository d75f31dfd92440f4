package PaywaySim::API::Products;

# Packages, campaigns, their periods and prices, and titles (reference 3.6, 6).

use v5.36;
use Mojo::JSON qw(false true);
use PaywaySim::Answer qw(raw_number refuse);

my $CODE = {type => 'code', min => 1, max => 1024};

sub endpoints ($class) {
    my %product = (method => 'GET', scope => '/external/product/r');
    my %title   = (method => 'GET', scope => '/external/title/r');
    my %search  = (
        title_code       => {type => 'code',  required => 1, min => 1, max => 15},
        page_size        => {type => 'count', min => 1, max => 25,   default => 25},
        page_number      => {type => 'count', min => 1, max => 1000, default => 1},
        tags             => {type => 'text'},
        include_inactive => {type => 'flag', default => 0},
    );
    my $search = sub ($kind) { sub ($api, $call) { search($api, $call, $kind) } };
    return (
        (map { +{method => 'GET', path => "/external/api/$_/klarna_payments/payment_periods",
            scope => '/external/klarna_payments/r', params => {code => {%$CODE, required => 1}}, run => \&klarna_periods}}
            qw(v1 v2)),
        {%product, path => '/external/api/v1/products/payment_periods', run => \&all_periods,
            params => {product_id => {type => 'id'}, product_code => $CODE}, one_of => [qw(product_code product_id)]},
        {%product, path => '/external/api/v2/products', run => \&product,
            params => {id => {type => 'id'}, product_id => {type => 'id'}, product_code => $CODE},
            one_of => [qw(product_code id product_id)]},
        {%product, path => '/external/api/v2/products/package/search', params => \%search, run => $search->('package')},
        {%product, path => '/external/api/v2/products/campaign/search', params => \%search, run => $search->('campaign')},
        {%title, path => '/external/api/v1/titles', run => \&titles},
        {%title, path => '/external/api/v1/titles/find_one', run => \&title,
            params => {title_code => {type => 'code', required => 1, min => 1, max => 15}}},
    );
}

sub _price ($api, $price) {
    my $written = $api->sim->shape->get('price');
    return $written eq 'string' ? "$price" : $written eq 'decimal' ? raw_number(sprintf '%.2f', $price) : $price + 0;
}

sub _period ($api, $period) {
    return {
        (map { ($_ => $period->{$_}) } qw(id payment_method type iteration_type)),
        enabled          => $period->{enabled} ? true : false,
        iteration_length => $period->{iteration_length} + 0,
        price            => _price($api, $period->{price}),
    };
}

# What the API says of a code that does not exist is not documented.
sub _no_periods ($api) {
    refuse(404, 'not_found', 'No such package or campaign') if $api->sim->shape->get('unknown_code') eq '404';
    return {items => []};
}

sub klarna_periods ($api, $call) {
    my $package = $api->sim->books->package($call->{organisation}, $call->{params}{code}) // return _no_periods($api);
    return {items => [map { _period($api, $_) } grep { $_->{payment_method} eq 'klarna_payments' } @{$package->{periods}}]};
}

sub _find ($api, $call) {
    my $params = $call->{params};
    my $id     = $params->{id} // $params->{product_id};
    my %filter = defined $id ? (id => lc $id) : (code => $params->{product_code});
    return ($api->sim->books->packages($call->{organisation}, %filter))[0];
}

sub all_periods ($api, $call) {
    my $package = _find($api, $call) // return _no_periods($api);
    return {items => [map { _period($api, $_) } @{$package->{periods}}]};
}

sub _summary ($package) {
    return {
        (map { ($_ => $package->{$_}) } qw(id valid_from valid_to title_code name description)),
        product_code                 => $package->{code},
        integration_code             => undef,
        additional_short_description => undef,
    };
}

# The list of periods at the end is documented by its first letters only; its form here is assumed.
sub product ($api, $call) {
    my $package = _find($api, $call) // refuse(404, 'not_found', 'No such product');
    return {item => {
        %{_summary($package)},
        transform_to_campaign_package => undef,
        customer_can_cancel           => true,
        vat_code                      => 25,
        rank                          => 1,
        (map { ($_ => false) } qw(show_price_excluding_vat allow_gift_purchase allow_only_gift_purchase
            allow_voucher_purchase allow_only_voucher_purchase)),
        tags          => [map { {name => $_, type => 'tag'} } @{$package->{tags}}],
        price_periods => [map { _period($api, $_) } @{$package->{periods}}],
    }};
}

sub search ($api, $call, $kind) {
    my $params = $call->{params};
    my %wanted = map { ($_ => 1) } split /,/, $params->{tags} // '';
    my @found  = grep { !%wanted || grep { $wanted{$_} } @{$_->{tags}} }
        grep { $_->{active} || $params->{include_inactive} }
        $api->sim->books->packages($call->{organisation}, kind => $kind, title_code => $params->{title_code});
    my ($size, $number) = @$params{qw(page_size page_number)};
    my $first = $size * ($number - 1);
    my @page  = grep { defined } @found[$first .. $first + $size - 1];
    return {
        items => [map { {%{_summary($_)}, expired => $_->{active} ? false : true, image_url => undef} } @page],
        page_info => {page_size => $size + 0, page_number => $number + 0,
            more_results_available => @found > $first + $size ? true : false},
    };
}

sub _title ($title) {
    return {name => $title->{name}, code => $title->{code}, image_url => undef, merchant_image_url => undef,
        url => $title->{url}, rgb => undef};
}

sub titles ($api, $call) { return {items => [map { _title($_) } $api->sim->books->titles($call->{organisation})]} }

sub title ($api, $call) {
    my ($title) = grep { $_->{code} eq $call->{params}{title_code} } $api->sim->books->titles($call->{organisation});
    return {item => _title($title // refuse(404, 'not_found', 'No such title'))};
}

1;
