package PaywaySim::API;

# The Payway API: one table of endpoints, and the order in which a request is checked (path, token, scope, identity,
# parameters). What an endpoint answers is in the room of its subject below PaywaySim::API.

use Mojo::Base -base, -signatures;
use PaywaySim::API::Accounts;
use PaywaySim::API::Klarna;
use PaywaySim::API::Me;
use PaywaySim::API::Orders;
use PaywaySim::API::Products;
use PaywaySim::Answer qw(html json refuse);
use PaywaySim::OAuth;
use PaywaySim::Rules qw(check_params);

has 'sim';
has oauth => sub ($self) { PaywaySim::OAuth->new(sim => $self->sim) };

# An endpoint: {method, path, scope, identity, params, one_of, run}. `run` gets this object and the call
# {params, client, account, organisation} and returns {item} or {items, page_info}, with a `status` when it is not 200.
my @ENDPOINTS = map { $_->endpoints }
    map {"PaywaySim::API::$_"} qw(Me Accounts Products Orders Klarna);
my %ENDPOINT;
$ENDPOINT{$_->{path}}{$_->{method}} = $_ for @ENDPOINTS;

sub answer ($self, $request) {
    my $path = $request->path =~ s{(?<=.)/\z}{}r;    # the documentation writes some paths with a final slash
    my %method =
          $path eq '/api/authorization/access_token' ? (POST => sub { $self->oauth->token($request) })
        : $path eq '/oauth2/auth'                    ? (GET  => sub { $self->oauth->authorize($request) })
        : map { my $endpoint = $_; ($_->{method} => sub { $self->_call($endpoint, $request) }) }
        values %{$ENDPOINT{$path} // {}};
    refuse(404, 'not_found', 'No such endpoint') unless %method;
    my $run = $method{$request->method} // refuse(405, 'method_not_allowed', 'Use ' . join(', ', sort keys %method));
    return $run->();
}

sub _call ($self, $endpoint, $request) {
    my $token = $self->_authorize($request, $endpoint);
    my $books = $self->sim->books;
    my $client = $books->client($token->{client});
    my %call = (client => $client, organisation => $client->{organisation});
    if ($endpoint->{identity}) {
        $call{account} = $books->account($client->{organisation}, $token->{account})
            // refuse(404, 'not_found', 'The account does not exist');
    }
    # One page of the documentation sends a GET with a JSON body: both are taken, everywhere.
    my $json = $request->method eq 'POST' || length $request->body;
    my $from = $json ? 'json' : 'query';
    refuse(400, 'unknown_parameter', 'Unknown parameters: ' . join(',', map { $request->query->[2 * $_] }
        0 .. @{$request->query} / 2 - 1)) if $json && @{$request->query};
    my $given = $json ? $request->json_object : $request->query_once;
    $call{params} = check_params($endpoint->{params} // {}, $given, $from, $endpoint->{one_of} // []);

    my $result = $endpoint->{run}->($self, \%call);
    my $shape  = $self->sim->shape;
    my $status = delete $result->{status} // 200;
    $self->_add_unknown_fields($result) if $shape->get('extra_fields');
    return json($status, $result->{item}) if $result->{item} && $shape->get('envelope') eq 'flat';
    return json($status, $result);
}

sub _add_unknown_fields ($self, $result) {
    $_->{simulator_note} = {added => 'a field that nobody documented'}
        for $result, grep { ref eq 'HASH' } $result->{item}, @{$result->{items} // []};
}

# Statuses of a bad token and a missing scope are the usual ones, their bodies are assumed: hence the switch.
sub _authorize ($self, $request, $endpoint) {
    my ($value) = ($request->header('Authorization') // '') =~ /\ABearer ([\w.~+\/-]+=*)\z/ai;
    my $token = $self->sim->books->token(access => $value);
    die $self->_denied(401, 'unauthorized', 'The access token is missing, unknown or expired') unless $token;
    $request->client($token->{client});
    $request->account($token->{account});
    die $self->_denied(403, 'forbidden', 'The access token does not permit this')
        unless grep { $_ eq $endpoint->{scope} } @{$token->{scopes}};
    die $self->_denied(403, 'forbidden', 'The access token has no identity')
        if $endpoint->{identity} && !defined $token->{account};
    return $token;
}

sub _denied ($self, $status, $code, $message) {
    my $kind   = $self->sim->shape->get('error_bodies');
    my $answer =
          $kind eq 'html'    ? html($status, "<html><body><h1>$status</h1></body></html>\n")
        : $kind eq 'message' ? json($status, {message => $message})
        :                      json($status, {code => $code, message => $message});
    $answer->{body} = '' if $kind eq 'empty';
    $answer->{headers}{'WWW-Authenticate'} = 'Bearer' if $status == 401;
    return $answer;
}

1;
