package PaywaySim::Control;

# How a test looks into the simulator and turns its switches: JSON over HTTP, on a port of its own. One table of
# routes; GET / shows it.

use Mojo::Base -base, -signatures;
use Mojo::Util        qw(url_unescape);
use PaywaySim::Answer qw(json refuse);
use PaywaySim::Rules  qw(is_boolean is_string);
use PaywaySim::Seed   qw(seed_account seed_client);

has 'sim';

our @ROUTES = (
    # method, path (a final * is one segment), what it does, code
    [GET    => '/',                 'this list', \&_routes],
    [POST   => '/reset',            'back to the seed, or to the seed in the body; clears faults, switches, requests', \&_reset],
    [GET    => '/requests',         'the requests so far; ?role= &path= (prefix) &method= &operation= &client= &account=', \&_requests],
    [DELETE => '/requests',         'forget the requests and the counts', \&_clear_requests],
    [GET    => '/stats',            'counts by role, method, path and status', \&_stats],
    [GET    => '/books',            'all that is known: accounts, sessions, tokens, orders, klarna_sessions, authorizations, charges ...', \&_books],
    [GET    => '/books/*',          'one part of the books, by its name there', \&_part],
    [POST   => '/forget',           'forget {accounts: [ids]} with their sessions, tokens, orders, charges', \&_forget],
    [POST   => '/accounts',         'a new account, as in the seed', \&_new_account],
    [POST   => '/accounts/*',       'change members of an account; frozen: false unfreezes', \&_patch_account],
    [POST   => '/clients/*',        'change redirect_uri, scopes, secret, sso2, offline_access of a client', \&_patch_client],
    [POST   => '/sessions/*',       'status: terminated, anon, gone, or loggedin with account', \&_patch_session],
    [POST   => '/logout-account/*', 'terminate every session of an account', \&_logout_account],
    [POST   => '/tickets',          'a ticket for {account, client, lifetime?}', \&_new_ticket],
    [POST   => '/tokens/expire',    'expire {kind: access|refresh|ticket, client, account}; all without a filter; also kind klarna_session|authorization', \&_expire],
    [POST   => '/authorizations',   'what the widget does on approval: a token for {session, category?}', \&_authorize],
    [POST   => '/klarna-person/*',  'what Klarna knows of the customer with this account id or e-mail', \&_set_person],
    [GET    => '/shape',            'the switches', \&_get_shape],
    [POST   => '/shape',            'set switches', \&_set_shape],
    [GET    => '/fault',            'the faults that wait', \&_list_faults],
    [POST   => '/fault',            'order a fault', \&_add_fault],
    [DELETE => '/fault',            'remove all faults', \&_clear_faults],
    [DELETE => '/fault/*',          'remove one fault', \&_remove_fault],
);

sub answer ($self, $request) {
    my $path = $request->path;
    my @here = grep { my $p = $_->[1] =~ s/\*/([^\/]+)/r; $path =~ m{\A$p\z} } @ROUTES;
    refuse(404, 'not_found', 'No such route: GET / lists them') unless @here;
    my ($route) = grep { $_->[0] eq $request->method } @here;
    refuse(405, 'method_not_allowed', 'Use ' . join(', ', map { $_->[0] } @here)) unless $route;
    my $pattern = $route->[1] =~ s/\*/([^\/]+)/r;
    my ($id) = $route->[1] =~ /\*/ ? $path =~ m{\A$pattern\z} : ();
    my $body = length $request->body ? $request->json_object : {};
    return json(200, $route->[3]->($self, $body, $id, $request));
}

sub _only ($given, @names) {
    my %known   = map  { ($_ => 1) } @names;
    my @unknown = grep { !$known{$_} } sort keys %$given;
    refuse(400, 'unknown_parameter', 'Unknown parameters: ' . join(',', @unknown)) if @unknown;
}

# Seed checks die with text; here that is the caller's mistake.
sub _checked ($do) {
    my $result = eval { $do->() };
    refuse(400, 'invalid_parameter', $@ =~ s/\n\z//r) if $@;
    return $result;
}

sub _routes { return {routes => [map { "$_->[0] $_->[1]: $_->[2]" } @ROUTES]} }

sub _reset ($self, $body, @) {
    _checked(sub { $self->sim->reset(%$body ? $body : undef); 1 });
    return {};
}

sub _requests ($self, $body, $id, $request) {
    my $query = $request->query_once;
    _only($query, qw(role path method operation client account));
    return {requests => [$self->sim->journal->entries(%$query)]};
}

sub _clear_requests ($self, @) { $self->sim->journal->clear; return {} }

sub _stats ($self, @) { return {stats => $self->sim->journal->stats} }

sub _books ($self, @) { return $self->sim->books->dump }

sub _part ($self, $body, $name, @) {
    my $books = $self->sim->books;
    my %part  = $books->parts;
    refuse(404, 'not_found', 'The books have no such part') unless $part{$name};
    return $books->dump($name);
}

sub _forget ($self, $body, @) {
    _only($body, 'accounts');
    refuse(400, 'invalid_parameter', 'Use a list of ids', 'accounts')
        if ref $body->{accounts} ne 'ARRAY' || grep { !is_string($_) } @{$body->{accounts}};
    return {charges => $self->sim->books->forget_accounts(@{$body->{accounts}})};
}

sub _new_account ($self, $body, @) {
    my $books   = $self->sim->books;
    my $account = _checked(sub { seed_account('account', $body) });
    refuse(400, 'invalid_parameter', 'No such organisation', 'organisation')
        unless grep { $_ eq $account->{organisation} } $books->organisations;
    refuse(400, 'invalid_parameter', 'The account exists already', 'id')
        if $books->any_account($account->{id}) || $books->account_by_email(@$account{qw(organisation email)});
    return $books->add_account($account);
}

sub _patch_account ($self, $body, $id, @) {
    my $books   = $self->sim->books;
    my $account = $books->any_account($id) // refuse(404, 'not_found', 'No such account');
    my %patch   = %$body;
    my $frozen  = delete $patch{frozen};
    refuse(400, 'invalid_parameter', 'Cannot be changed', $_) for grep { exists $patch{$_} } qw(id organisation);
    my $changed = _checked(sub { seed_account('account', {%$account, %patch}) });
    %$account = %$changed;
    $books->add_account($account);
    $books->unfreeze($account) if defined $frozen && !$frozen;
    return $account;
}

sub _patch_client ($self, $body, $id, @) {
    my $client = $self->sim->books->client($id) // refuse(404, 'not_found', 'No such client');
    refuse(400, 'invalid_parameter', 'Cannot be changed', $_) for grep { exists $body->{$_} } qw(id organisation);
    my $changed = _checked(sub { seed_client('client', {%$client, %$body}) });
    %$client = %$changed;
    return $client;
}

sub _patch_session ($self, $body, $sid, @) {
    _only($body, qw(status account));
    my $books   = $self->sim->books;
    my $session = $books->any_session($sid) // refuse(404, 'not_found', 'No such session');
    my $status  = $body->{status} // '';
    if    ($status eq 'terminated') { $books->terminate($session) }
    elsif ($status eq 'gone')       { $books->forget_session($session) }
    elsif ($status eq 'anon')       { @$session{qw(status account)} = ('anon', undef) }
    elsif ($status eq 'loggedin') {
        my $account = $books->account($session->{organisation}, $body->{account})
            // refuse(404, 'not_found', 'No such account', 'account');
        $books->login($session, $account);
    }
    else { refuse(400, 'invalid_parameter', 'Use terminated, anon, gone or loggedin', 'status') }
    return $session;
}

sub _logout_account ($self, $body, $id, @) {
    my $books = $self->sim->books;
    $books->any_account($id) // refuse(404, 'not_found', 'No such account');
    my @ended = map { $books->terminate($_) } $books->sessions_of($id);
    return {terminated => scalar @ended};
}

sub _new_ticket ($self, $body, @) {
    _only($body, qw(account client lifetime));
    my $books   = $self->sim->books;
    my $client  = $books->client($body->{client}) // refuse(404, 'not_found', 'No such client', 'client');
    my $account = $books->account($client->{organisation}, $body->{account})
        // refuse(404, 'not_found', 'No such account', 'account');
    return {ticket => $books->new_ticket($client, $account, $body->{lifetime} // ())};
}

sub _expire ($self, $body, @) {
    _only($body, qw(kind client account));
    return {expired => $self->sim->books->expire(%$body)};
}

# By the books, so also for a session that is expired or used, and for a category that it does not have.
sub _authorize ($self, $body, @) {
    _only($body, qw(session category));
    my $klarna  = $self->sim->books->klarna;
    my $session = $klarna->session($body->{session} // '') // refuse(404, 'not_found', 'No such session', 'session');
    my $given   = $klarna->authorize($session, $body->{category} // $session->{categories}[0]);
    return {authorization_token => $given->{token}};
}

my @PERSON = qw(ssn given_name family_name birth_date phone street_address postal_code city delivery_address
    bad_account_data bad_delivery_address payment);

sub _set_person ($self, $body, $who, @) {
    _only($body, @PERSON);
    my $bad = sub ($name, $want) { refuse(400, 'invalid_parameter', "Use $want", $name) };
    for my $name (sort keys %$body) {
        my $value = $body->{$name};
        if ($name =~ /\Abad_/) { $bad->($name, 'true or false') unless is_boolean($value) }
        elsif ($name eq 'delivery_address') { $bad->($name, 'an object') unless ref $value eq 'HASH' }
        elsif ($name eq 'payment') { $bad->($name, 'approved|failed') unless ($value // '') =~ /\A(?:approved|failed)\z/ }
        else { $bad->($name, 'text') unless is_string($value) }
    }
    return $self->sim->books->klarna->set_person(url_unescape($who), {%$body});
}

sub _get_shape ($self, @) { return $self->sim->shape->all }

sub _set_shape ($self, $body, @) { return $self->sim->shape->set($body) }

sub _list_faults ($self, @) { return {faults => [$self->sim->faults->list]} }

sub _add_fault ($self, $body, @) { return {id => $self->sim->faults->add($body)} }

sub _clear_faults ($self, @) { $self->sim->faults->clear; return {} }

sub _remove_fault ($self, $body, $id, @) {
    $self->sim->faults->remove($id =~ /\A\d+\z/a ? $id : 0) || refuse(404, 'not_found', 'No such fault');
    return {};
}

1;
