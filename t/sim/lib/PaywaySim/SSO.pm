package PaywaySim::SSO;

# SSO2 (reference 5.4): the browser's identify, and the operations that servers call. A message is a JWT signed with
# the API user's secret, in both directions; a request that is not exactly as documented is refused with the reason.

use Mojo::Base -base, -signatures;
use Mojo::Parameters;
use PaywaySim::Answer qw(json page redirect refuse);
use PaywaySim::JWT    qw(jwt_sign jwt_unpack jwt_verify);
use PaywaySim::Rules  qw(is_ip is_number is_string);

has 'sim';

my @COMMON = qw(cid iss aud iat nbf exp);
my %OPERATION = (
    # claims besides the common ones; the documented life of the request in seconds
    identify               => {claims => [], lifetime => 60, run => \&_identify},
    sessionstatus          => {claims => [qw(sid ipa uas lks)], lifetime => 10, run => \&_sessionstatus},
    authenticate           => {claims => [qw(sid ipa uas usr pwd)], lifetime => 10, run => \&_authenticate},
    authenticatewithticket => {claims => [qw(sid ipa uas at)], lifetime => 10, run => \&_with_ticket},
    logout                 => {claims => [qw(sid ipa uas)], lifetime => 10, run => \&_logout},
    createsession          => {claims => [qw(ipa uas apn apv osn osv)], lifetime => 86400, run => \&_createsession},
);
my %MAY_BE_EMPTY = map { ($_ => 1) } qw(uas pwd);

sub answer ($self, $request) {
    my ($name) = $request->path =~ m{\A/(\w+)\z};
    my $operation = $OPERATION{$name // ''} // refuse(404, 'not_found', 'No such operation');
    my $method    = $name eq 'identify' ? 'GET' : 'POST';
    refuse(405, 'method_not_allowed', "Use $method") unless $request->method eq $method;
    $request->operation($name);
    return $operation->{run}->($self, $request) if $name eq 'identify';

    my $body    = $request->json_object;
    my @unknown = grep { $_ ne 't' } sort keys %$body;
    refuse(400, 'unknown_parameter', 'Unknown parameters: ' . join(',', @unknown)) if @unknown || @{$request->query};
    refuse(400, 'invalid_parameter', 'Parameter is required', 't') unless is_string($body->{t});
    my $client = $self->_read($request, $name, $body->{t});
    my $said   = $operation->{run}->($self, $client, $request->claims, $request);
    my $status = $said->{err} ? $self->sim->shape->get('sso_error_status') : 200;
    return json($status, {t => $self->_sign($client, $said)});
}

# By the precise clock: time() reads a coarse one, some milliseconds behind, and a message made at the turn of a second
# would come from the future.
sub _now ($self) { return int(Time::HiRes::time()) + $self->sim->shape->get('clock_skew') }

# Checks the message and returns the client that sent it; the claims are left in the request.
sub _read ($self, $request, $name, $token) {
    my $jwt = jwt_unpack($token) // refuse(400, 'invalid_parameter', 'Not a JWT', 't');
    my ($header, $claims) = @$jwt{qw(header claims)};
    $request->claims($claims);
    my $client = ref $claims->{cid} ? undef : $self->sim->books->client($claims->{cid});
    refuse(401, 'unauthorized', 'Unknown client', 'cid') unless $client && $client->{sso2};
    $request->client($client->{id});
    refuse(401, 'unauthorized', 'Only HS256 is taken', 'alg')
        unless ($header->{alg} // '') eq 'HS256' && uc($header->{typ} // '') eq 'JWT';
    refuse(401, 'unauthorized', 'The signature does not match', 't') unless jwt_verify($jwt, $client->{secret});
    $self->_check_claims($OPERATION{$name}, $claims, $client);
    return $client;
}

sub _check_claims ($self, $operation, $claims, $client) {
    my @expected = (@COMMON, @{$operation->{claims}});
    my %expected = map { ($_ => 1) } @expected;
    my @unknown  = grep { !$expected{$_} } sort keys %$claims;
    refuse(400, 'unknown_parameter', 'Unknown claims: ' . join(',', @unknown)) if @unknown;
    for my $name (@expected) {
        my $value = $claims->{$name};
        refuse(400, 'invalid_parameter', 'Claim is required', $name) unless defined $value;
        if ($name =~ /\A(?:iat|nbf|exp)\z/) {
            refuse(400, 'invalid_parameter', 'Claim must be whole seconds', $name)
                unless is_number($value) && $value =~ /\A\d+\z/a;
        }
        else {
            refuse(400, 'invalid_parameter', 'Claim must be text', $name)
                unless is_string($value) && (length $value || $MAY_BE_EMPTY{$name});
        }
    }
    refuse(401, 'unauthorized', 'Not the organisation of the client', 'iss')
        unless $claims->{iss} eq $client->{organisation};
    refuse(401, 'unauthorized', 'Must be pw-sso', 'aud') unless $claims->{aud} eq 'pw-sso';
    my $now = $self->_now;
    refuse(401, 'unauthorized', 'The message has expired',     'exp') if $claims->{exp} <= $now;
    refuse(401, 'unauthorized', 'The message is not yet valid', 'nbf') if $claims->{nbf} > $now;
    refuse(401, 'unauthorized', 'The message is from the future', 'iat') if $claims->{iat} > $now;
    refuse(400, 'invalid_parameter', "Longer than $operation->{lifetime} seconds", 'exp')
        if $claims->{exp} - $claims->{iat} > $operation->{lifetime}
        && $self->sim->shape->get('request_lifetime') eq 'documented';
    refuse(400, 'invalid_parameter', 'Must be an IP address', 'ipa') if $expected{ipa} && !is_ip($claims->{ipa});
    refuse(400, 'invalid_parameter', 'Must be anon, loggedin or terminated', 'lks')
        if $expected{lks} && $claims->{lks} !~ /\A(?:anon|loggedin|terminated)\z/;
}

# Which iss and aud an answer carries is not documented: assumed, with a switch.
sub _sign ($self, $client, $said) {
    my $shape = $self->sim->shape;
    my $kind  = $shape->get('claims');
    my $now   = $self->_now;
    my %claims = %$said;
    if ($kind ne 'bare') { @claims{qw(iat nbf exp)} = ($now, $now, $now + $shape->get('answer_lifetime')) }
    if ($kind eq 'full') {
        $claims{cid} = $client->{id};
        $claims{iss} = $shape->get('answer_iss');
        $claims{aud} = $shape->get('answer_aud') || $client->{id};
    }
    if ($shape->get('absent_claims') eq 'empty') { $claims{$_} //= '' for qw(at err) }
    $claims{simulator_note} = 'a claim that nobody documented' if $shape->get('extra_fields');
    return jwt_sign(\%claims, $client->{secret});
}

# The state of a session as this client is told it. `$moment` is when a ticket may be due: 'login' (identify and the
# logins) or the status that the site knew last.
sub _state ($self, $client, $session, $moment) {
    my %said = (sid => $session->{sid}, sts => $session->{status});
    return \%said unless $session->{status} eq 'loggedin';
    my $rule = $self->sim->shape->get('ticket');
    my $due =
          $rule eq 'never'    ? 0
        : $rule eq 'always'   ? 1
        : $rule eq 'identify' ? $moment eq 'login'
        :                       $moment ne 'loggedin';
    my $books = $self->sim->books;
    $said{at} = $books->new_ticket($client, $books->account($session->{organisation}, $session->{account})) if $due;
    return \%said;
}

# -- operations

# To the landing that the client registered, never to an address that the request names.
sub _identify ($self, $request) {
    my $wrong = sub ($why) { page(400, 'Cannot identify', "<p role=\"alert\">$why</p>") };
    my $query = eval { $request->query_once } // return $wrong->('A parameter is given twice');
    my @unknown = grep { !/\A[tr]\z/ } keys %$query;
    return $wrong->('Unknown parameter') if @unknown;
    return $wrong->('t and r are required') unless length($query->{t} // '') && length($query->{r} // '');
    my $client = eval { $self->_read($request, 'identify', $query->{t}) }
        // return $wrong->(ref $@ ? "$@->{json}{message} ($@->{json}{field})" : 'Broken message');
    return $wrong->('The client has no redirect URI') unless defined $client->{redirect_uri};

    my ($browser, %headers) = $self->sim->browser($request);
    my $books   = $self->sim->books;
    my $session = $books->browser_session($browser, $client->{organisation})
        // $books->new_session($client->{organisation}, $browser);
    $request->account($session->{account});
    my $error = $self->sim->shape->get('identify_error');
    my $said  = length $error ? {err => $error} : $self->_state($client, $session, 'login');
    my $back  = Mojo::Parameters->new(t => $self->_sign($client, $said), r => $query->{r})->to_string;
    my $glue  = $client->{redirect_uri} =~ /\?/ ? '&' : '?';
    return redirect($client->{redirect_uri} . $glue . $back, %headers, 'Cache-Control' => 'no-store');
}

# Runs the rest with the session that the message names. A terminated session can only say that it is.
sub _with_session ($self, $client, $claims, $request, $do) {
    my $session = $self->sim->books->session($client->{organisation}, $claims->{sid})
        // return {err => 'session_not_found'};
    my $said = $session->{status} eq 'terminated' ? $self->_state($client, $session, 'login') : $do->($session);
    $request->account($session->{account});
    return $said;
}

sub _sessionstatus ($self, $client, $claims, $request) {
    return $self->_with_session($client, $claims, $request,
        sub ($session) { $self->_state($client, $session, $claims->{lks}) });
}

sub _authenticate ($self, $client, $claims, $request) {
    return $self->_with_session($client, $claims, $request, sub ($session) {
        my $books = $self->sim->books;
        my $tried = $books->check_password($client->{organisation}, $claims->{usr}, $claims->{pwd});
        my $account = delete $tried->{account} // return {sid => $session->{sid}, sts => $session->{status}, %$tried};
        return $self->_state($client, $books->login($session, $account), 'login');
    });
}

# The error word for a ticket that is no good is not documented: assumed.
sub _with_ticket ($self, $client, $claims, $request) {
    return $self->_with_session($client, $claims, $request, sub ($session) {
        my $books  = $self->sim->books;
        my $ticket = $books->redeem($client, tickets => $claims->{at})
            // return {sid => $session->{sid}, sts => $session->{status}, err => 'invalid_ticket'};
        my $account = $books->account($client->{organisation}, $ticket->{account});
        return {sid => $session->{sid}, sts => $session->{status}, err => 'account_not_active'}
            if $account->{status} ne 'active';
        return $self->_state($client, $books->login($session, $account), 'login');
    });
}

# Ends the session on all sites. A session that nobody logged in to stays as it is.
sub _logout ($self, $client, $claims, $request) {
    return $self->_with_session($client, $claims, $request, sub ($session) {
        $self->sim->books->terminate($session) if $session->{status} eq 'loggedin';
        return $self->_state($client, $session, 'login');
    });
}

sub _createsession ($self, $client, $claims, $request) {
    return $self->_state($client, $self->sim->books->new_session($client->{organisation}), 'login');
}

1;
