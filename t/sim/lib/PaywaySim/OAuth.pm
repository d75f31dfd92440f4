package PaywaySim::OAuth;

# The token endpoint, and the authorize page of the code flow (reference 5.1, 5.2). Answers in OAuth's words, which is
# assumed: of the real endpoint's errors only an `error_description` was ever seen.

use Mojo::Base -base, -signatures;
use Mojo::URL;
use PaywaySim::Answer qw(json page redirect);

has 'sim';

# Form fields besides grant_type, client_id and client_secret; every one of them is required and no other is taken.
my %GRANT = (
    none               => {fields => ['scope'], run => \&_grant_none},
    ticket             => {fields => [qw(scope ticket)], run => \&_grant_ticket},
    password           => {fields => [qw(scope username password)], run => \&_grant_password},
    refresh_token      => {fields => ['refresh_token'], run => \&_grant_refresh},
    authorization_code => {fields => [qw(code redirect_uri)], run => \&_grant_code},
);

sub _deny ($status, $error, $description) {
    die json($status, {error => $error, error_description => $description});
}

sub token ($self, $request) {
    _deny(400, 'invalid_request', 'Content-Type must be application/x-www-form-urlencoded')
        unless $request->media_type eq 'application/x-www-form-urlencoded';
    _deny(400, 'invalid_request', 'Parameters belong in the body') if @{$request->query};
    my $form = eval { $request->form_once } // _deny(400, 'invalid_request', 'A parameter is given twice');

    my $client = $self->sim->books->client($form->{client_id});
    _deny(401, 'invalid_client', 'Unknown client or wrong secret')
        unless $client && ($form->{client_secret} // '') eq $client->{secret};
    $request->client($client->{id});

    my $grant = $GRANT{$form->{grant_type} // ''} // _deny(400, 'unsupported_grant_type', 'No such grant type');
    my %known = map { ($_ => 1) } qw(client_id client_secret grant_type), @{$grant->{fields}};
    for my $name (sort keys %$form) {
        _deny(400, 'invalid_request', "Unknown parameters: $name") unless $known{$name};
    }
    for my $name (@{$grant->{fields}}) {
        _deny(400, 'invalid_request', "Parameter is required: $name") unless length($form->{$name} // '');
    }
    my ($account_id, $scopes, $refresh) = $grant->{run}->($self, $client, $form);
    $request->account($account_id);
    return $self->_answer($client, $account_id, $scopes, $refresh);
}

# The scopes asked for, all of which the client must have (or which are reduced to those, by switch).
sub _scopes ($self, $client, $text) {
    my %has   = map { ($_ => 1) } @{$client->{scopes}};
    my @asked = split ' ', $text;
    my @given = grep { $has{$_} } @asked;
    _deny(400, 'invalid_scope', 'The client may not ask for this scope')
        if @given < @asked && $self->sim->shape->get('scope_error') ne 'reduced';
    return \@given;
}

sub _grant_none ($self, $client, $form) { return undef, $self->_scopes($client, $form->{scope}) }

sub _grant_ticket ($self, $client, $form) {
    my $scopes = $self->_scopes($client, $form->{scope});
    my $ticket = $self->sim->books->redeem($client, tickets => $form->{ticket})
        // _deny(400, 'invalid_grant', 'The ticket is unknown, used or expired');
    return $ticket->{account}, $scopes;
}

sub _grant_password ($self, $client, $form) {
    my $scopes = $self->_scopes($client, $form->{scope});
    my ($organisation, $email) = $form->{username} =~ /\A([^^]+)\^(.+)\z/;
    my $tried =
        ($organisation // '') eq $client->{organisation}
        ? $self->sim->books->check_password($organisation, $email, $form->{password})
        : {};
    _deny(400, 'invalid_grant', 'Username/password do not match') unless $tried->{account};
    return $tried->{account}{id}, $scopes;
}

sub _grant_refresh ($self, $client, $form) {
    my $books = $self->sim->books;
    my $token = $books->token(refresh => $form->{refresh_token});
    _deny(400, 'invalid_grant', 'The refresh token is unknown or expired')
        unless $token && $token->{client} eq $client->{id};
    return $token->{account}, $token->{scopes}, $token->{token} unless $self->sim->shape->get('refresh_rotation');
    $books->forget_token($token->{token});
    return $token->{account}, $token->{scopes};
}

sub _grant_code ($self, $client, $form) {
    my $code = $self->sim->books->redeem($client, codes => $form->{code});
    _deny(400, 'invalid_grant', 'The code is unknown, used or expired')
        unless $code && $code->{redirect_uri} eq $form->{redirect_uri};
    return $code->{account}, [@{$client->{scopes}}];
}

sub _answer ($self, $client, $account_id, $scopes, $refresh = undef) {
    my $shape    = $self->sim->shape;
    my $books    = $self->sim->books;
    my $lifetime = $shape->get('token_lifetime');
    my %answer   = (access_token => $books->new_token(access => $client, $account_id, $scopes, $lifetime));
    my $written  = $shape->get('expires_in');
    $answer{expires_in} = $written eq 'string' ? "$lifetime" : $lifetime + 0 unless $written eq 'absent';
    $answer{token_type} = $shape->get('token_type') if length $shape->get('token_type');
    $answer{refresh_token} = $refresh // $books->new_token(refresh => $client, $account_id, $scopes, undef)
        if $client->{offline_access};
    $answer{issued_for} = 'simulator' if $shape->get('extra_fields');
    return json(200, \%answer, 'Cache-Control' => 'no-store');
}

# GET /oauth2/auth: a logged-in browser goes straight back with a code, any other by the portal's login.
sub authorize ($self, $request) {
    my $query  = $request->query_once;
    my $client = $self->sim->books->client($query->{client_id});
    my $wrong  = sub ($why) { return page(400, 'Cannot log in', "<p role=\"alert\">$why</p>") };
    return $wrong->('Unknown client_id') unless $client;
    $request->client($client->{id});
    return $wrong->('response_type must be code') unless ($query->{response_type} // '') eq 'code';
    return $wrong->('oid is not the organisation of the client')
        unless ($query->{oid} // '') eq $client->{organisation};
    return $wrong->('redirect_uri is not the registered one')
        unless defined $client->{redirect_uri} && ($query->{redirect_uri} // '') eq $client->{redirect_uri};

    my $session = $self->sim->browser_session($request, $client->{organisation});
    unless ($session && $session->{status} eq 'loggedin') {
        my $here = $self->sim->url('api') . $request->url;
        return redirect(Mojo::URL->new($self->sim->url('portal') . '/login/index')->query(continue => $here));
    }
    $request->account($session->{account});
    my $account = $self->sim->books->account($client->{organisation}, $session->{account});
    my $back    = Mojo::URL->new($client->{redirect_uri});
    $back->query([code => $self->sim->books->new_code($client, $account, $client->{redirect_uri})]);
    $back->query([state => $query->{state}]) if defined $query->{state};
    return redirect($back);
}

1;
