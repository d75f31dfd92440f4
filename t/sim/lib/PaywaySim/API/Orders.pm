package PaywaySim::API::Orders;

# Reading orders (reference 7.5): one by its id, or the list of an account. Whether a list comes in pages is not
# documented, nor how soon it shows an order: hence the switches.

use v5.36;
use Mojo::JSON qw(false true);
use POSIX      qw(strftime);
use Time::HiRes ();
use PaywaySim::Answer qw(refuse);

sub endpoints ($class) {
    return {method => 'GET', path => '/external/api/v1/order', scope => '/external/order/r',
        params => {order_id => {type => 'order'}, account_id => {type => 'id'},
            page_size => {type => 'count', min => 1, max => 1000}, page_number => {type => 'count', min => 1, max => 1000}},
        one_of => [qw(order_id account_id)], run => \&order};
}

sub order ($api, $call) {
    my $books        = $api->sim->books;
    my $organisation = $call->{organisation};
    if (defined(my $id = $call->{params}{order_id})) {
        my ($order) = $books->orders($organisation, order_id => $id);
        return {item => _order($order // refuse(404, 'not_found', 'No such order'))};
    }
    my $account = $books->account($organisation, $call->{params}{account_id})
        // refuse(404, 'not_found', 'The account does not exist');
    return _list($api, $call->{params}, $books->orders($organisation, account => $account->{id}));
}

sub _list ($api, $params, @orders) {
    my $shape = $api->sim->shape;
    my $shown = Time::HiRes::time() - $shape->get('orders_delay');
    @orders = grep { $_->{created} <= $shown } @orders;
    @orders = reverse @orders if $shape->get('orders_first') eq 'newest';
    my $size = $shape->get('orders_page_size');
    unless ($size) {
        my @paging = grep { exists $params->{$_} } qw(page_number page_size);
        refuse(400, 'unknown_parameter', 'Unknown parameters: ' . join(',', @paging)) if @paging;
        return {items => [map { _order($_) } @orders]};
    }
    $size = $params->{page_size} // $size;
    my $number = $params->{page_number} // 1;
    my $first  = $size * ($number - 1);
    return {
        items     => [map { _order($_) } grep { defined } @orders[$first .. $first + $size - 1]],
        page_info => {page_size => $size + 0, page_number => $number + 0,
            more_results_available => @orders > $first + $size ? true : false},
    };
}

sub _order ($order) {
    my $period  = $order->{period};
    my $price   = $order->{trial} ? 0 : $period->{price};
    my $created = strftime '%Y-%m-%dT%H:%M:%S.000Z', gmtime $order->{created};
    return {
        id                      => $order->{id},
        order_id                => $order->{order_id},
        payment_option          => $order->{payment_option} // 'klarna_payments',
        purchase_type           => $order->{purchase_type}  // 'subscription',
        state                   => 'closed',
        subscription_start_date => $order->{start_date} // strftime('%Y-%m-%d', gmtime $order->{created}),
        traffic_source          => $order->{traffic_source},
        merchant_reference      => $order->{merchant_reference},
        child_order_ids         => [],
        parent_order_id         => undef,
        order_detail            => {
            period_info => {type => $period->{iteration_type}, length => $period->{iteration_length} + 0,
                price => $period->{price} + 0, price_specification => undef},
            partial_payment_info => undef,
            description          => $order->{description} // $order->{code},
            price                => $price + 0,
            vat_code             => 25,
            created              => $created,
            product_code         => $order->{code},
        },
        payments => [{
            order_id       => $order->{order_id},
            product_code   => $order->{code},
            payment_result => {
                created            => $created,
                order_status       => 'closed',
                transaction_status => 'success',
                transaction_number => $order->{transaction_number},
                payment_method     => $order->{payment_option} // 'klarna_payments',
                amount             => _minor_units($price),
                (map { ($_ => undef) } qw(error_code error_description third_party_error)),
            },
            payment_type        => 'payment',
            payment_method      => $order->{payment_option} // 'klarna_payments',
            amount              => _minor_units($price),
            description         => $order->{code},
            state               => 'closed',
            provider            => $order->{provider} // 'klarna',
            price_specification => undef,
        }],
        addresses => $order->{addresses} // [],
    };
}

# Amounts in the payments of an order are strings in oere, prices are kronor (reference 2.2).
sub _minor_units ($price) { return sprintf '%.0f', $price * 100 }

1;
