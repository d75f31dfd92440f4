package PWK::Client;

# A small HTTP client that hides nothing: every header as it came, no redirect followed unasked, cookies as a browser
# keeps them (or refused).
#
#     my $client = PWK::Client->new(base => 'http://127.0.0.1:8402');
#     my $answer = $client->get('/premium/a.html');
#     $answer->status; $answer->header('Cache-Control'); $answer->cookies; $answer->json;
#     $answer = $client->follow($client->navigate('/premium/a.html'));
#
# Every name is this machine: http://www.example.se:20001/ goes to 127.0.0.1:20001 with the Host header that it says.
# For a site whose TLS ends before httpd, `via => {'https://www.example.se' => 20001}` sends that origin to a port, in plain.

use v5.36;
use Carp               qw(croak);
use IO::Select         ();
use IO::Socket::INET   ();
use JSON::PP           ();
use Time::HiRes        qw(time);

# base: for addresses that begin with '/'. cookies => 0: take none. keep_alive => 1: one connection per origin as long as
# the server keeps it. headers: [name => value, …] of every request. timeout in seconds, for the whole of an answer. jar: the
# cookies of another, as `jar` gives them.
sub new ($class, %option) {
    return bless {
        base       => $option{base},
        cookies    => $option{cookies} // 1,
        keep_alive => $option{keep_alive} // 0,
        headers    => $option{headers} // [],
        timeout    => $option{timeout} // 30,
        via        => $option{via} // {},
        jar        => $option{jar} // [],
        kept       => {},
    }, $class;
}

# -- asking

# GET with further headers: get('/x', 'If-None-Match' => '*').
sub get ($self, $url, @headers)    { return $self->request(GET => $url, headers => \@headers) }
sub head ($self, $url, @headers)   { return $self->request(HEAD => $url, headers => \@headers) }

# What a browser sends when somebody follows a link or types an address.
sub navigate ($self, $url, @headers) {
    return $self->request(GET => $url, headers => [_with(\@headers, _navigation())]);
}

# A form sent as a browser sends it, fields as a hash or a list of pairs. Of the same origin, unless the headers say
# otherwise.
sub post_form ($self, $url, $fields, @headers) {
    return $self->request(POST => $url, $self->_form_options($url, $fields, @headers));
}

sub _form_options ($self, $url, $fields, @headers) {
    my ($origin) = $self->absolute($url) =~ m{\A(https?://[^/]+)};
    return (
        body    => form($fields),
        headers => [_with(\@headers, 'Content-Type' => 'application/x-www-form-urlencoded', Origin => $origin,
            'Sec-Fetch-Site' => 'same-origin', _navigation())],
    );
}

# Follows redirects as a browser does (GET after 301, 302 and 303), at most `$most`; returns the last answer. Its
# `history` holds those before.
sub follow ($self, $answer, $most = 10) {
    my @history;
    while ($answer->is_redirect) {
        croak "more than $most redirects: " . join ' -> ', map { $_->url } @history, $answer if @history >= $most;
        push @history, $answer;
        croak 'cannot follow a ' . $answer->status unless $answer->status =~ /\A30[123]\z/ || $answer->method eq 'GET';
        $answer = $self->navigate($answer->location);
    }
    $answer->{history} = \@history;
    return $answer;
}

# One request. headers => [pairs]; body; host => what Host says instead of the address. A header given with an undefined
# value is not sent at all.
sub request ($self, $method, $url, %option) {
    my ($origin, $bytes);
    ($url, $origin, $bytes) = $self->_write($method, $url, %option);
    my $answer = $self->_exchange($origin, $bytes, $method);
    return $self->_take($answer, $method, $url);
}

# Several requests at once, each [method, url, options] on a connection of its own: all are sent before an answer is read.
# Returns the answers in their order; where there was none, why.
sub together ($self, @requests) {
    my (@sent, @answers);
    for my $request (@requests) {
        my ($method, $url, %option) = @$request;
        ($url, my $origin, my $bytes) = $self->_write($method, $url, %option);
        my $socket = eval { $self->_connect($origin) };
        my $failed = $socket ? eval { $self->_send($socket, $bytes); 1 } ? undef : $@ : $@;
        push @sent, [$method, $url, $socket, $failed];
    }
    for my $one (@sent) {
        my ($method, $url, $socket, $failed) = @$one;
        my $answer = defined $failed ? undef : eval { $self->_receive($socket, $method) };
        push @answers, $answer ? $self->_take($answer, $method, $url) : $failed // $@;
        close $socket if $socket;
    }
    return @answers;
}

# One form posted as post_form does, as a request for `together`.
sub form_request ($self, $url, $fields) { return [POST => $url, $self->_form_options($url, $fields)] }

# Address, origin and bytes of a request.
sub _write ($self, $method, $url, %option) {
    $url = $self->absolute($url);
    my ($origin, $target) = $url =~ m{\A(https?://[^/?\#]+)([^\#]*)} or croak "not an URL: $url";
    $target = "/$target" unless $target =~ m{\A/};
    my $body = $option{body};
    my ($authority) = $origin =~ m{//(.*)};

    my @own = (Host => $option{host} // $authority, 'User-Agent' => 'Mozilla/5.0 (X11; Linux x86_64) PWK-Client');
    push @own, Cookie => $_ for grep {length} $self->cookie_header($url);
    push @own, 'Content-Length' => length $body if defined $body;
    push @own, Connection => $self->{keep_alive} ? 'keep-alive' : 'close';
    my @headers = _with($option{headers} // [], _with($self->{headers}, @own));
    my $bytes   = "$method $target HTTP/1.1\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) { $bytes .= "$name: $value\r\n" if defined $value }
    $bytes .= "\r\n" . ($body // '');
    return ($url, $origin, $bytes);
}

sub _take ($self, $answer, $method, $url) {
    @$answer{qw(method url)} = ($method, $url);
    $self->_take_cookies($url, $answer) if $self->{cookies};
    return $answer;
}

# Sends bytes as they are to the base's port and returns everything that came back until the server closed (or the
# time was up).
sub raw ($self, $bytes) {
    my $socket = $self->_connect($self->{base} =~ m{\A(https?://[^/]+)});
    $self->_send($socket, $bytes);
    my $end  = time + $self->{timeout};
    my $all  = '';
    while (defined(my $more = _read($socket, $end))) { last if $more eq ''; $all .= $more }
    return $all;
}

sub absolute ($self, $url) {
    return $url if $url =~ m{\Ahttps?://}i;
    croak "$url: no base" unless defined $self->{base};
    return $self->{base} . $url;
}

# -- helpers for requests

sub _navigation () {
    return (
        Accept           => 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
        'Sec-Fetch-Mode' => 'navigate',
        'Sec-Fetch-Dest' => 'document',
    );
}

# `@$over` and then those of `@under` that it does not name.
sub _with ($over, @under) {
    my %named;
    for (my $i = 0; $i < @$over; $i += 2) { $named{lc $over->[$i]} = 1 }
    my @headers = @$over;
    while (my ($name, $value) = splice @under, 0, 2) { push @headers, $name, $value unless $named{lc $name} }
    return @headers;
}

sub form ($fields) {
    my @pairs = ref $fields eq 'HASH' ? map { ($_ => $fields->{$_}) } sort keys %$fields : @$fields;
    my @parts;
    while (my ($name, $value) = splice @pairs, 0, 2) { push @parts, escape($name) . '=' . escape($value) }
    return join '&', @parts;
}

sub escape ($text) {
    utf8::encode($text) if utf8::is_utf8($text);
    return $text =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger;
}

# -- the connection

sub _connect ($self, $origin) {
    my $port = $self->{via}{$origin} // ($origin =~ /:(\d+)\z/ ? $1 : croak "$origin: no port; use via");
    croak "$origin: TLS is not spoken here; use via" if $origin =~ /\Ahttps/ && !$self->{via}{$origin};
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 5, Proto => 'tcp')
        // croak "$origin: $@";
}

sub _exchange ($self, $origin, $bytes, $method) {
    my $kept = delete $self->{kept}{$origin};
    for my $socket ($kept // (), undef) {
        my $to     = $socket // $self->_connect($origin);
        my $answer = eval { $self->_send($to, $bytes); $self->_receive($to, $method) };
        if (!$answer) {
            # A connection kept alive may have been closed meanwhile: only then the request goes again.
            next if $socket && $@ =~ /nothing came back|Broken pipe|reset by peer/;
            croak "$method $origin: $@";
        }
        $self->{kept}{$origin} = $to if $self->{keep_alive} && !$answer->{closes};
        return $answer;
    }
}

sub _send ($self, $socket, $bytes) {
    local $SIG{PIPE} = 'IGNORE';
    utf8::encode($bytes) if utf8::is_utf8($bytes);
    while (length $bytes) {
        my $sent = syswrite $socket, $bytes;
        defined $sent or die "$!\n";
        substr $bytes, 0, $sent, '';
    }
}

# More bytes, '' at the end of the stream, undef when the time is up.
sub _read ($socket, $end) {
    my $left = $end - time;
    return if $left <= 0 || !IO::Select->new($socket)->can_read($left);
    my $got = sysread $socket, my $bytes, 65_536;
    return defined $got ? $bytes : '';
}

sub _receive ($self, $socket, $method) {
    my $end    = time + $self->{timeout};
    my $buffer = '';
    my $more   = sub {
        my $bytes = _read($socket, $end) // die "timed out after $self->{timeout} s\n";
        $buffer .= $bytes;
        return length $bytes;
    };
    my $upto = sub ($until) {
        my $at;
        while (($at = index $buffer, $until) < 0) {
            $more->() or die(length $buffer ? "cut off: $buffer\n" : "nothing came back\n");
        }
        my $text = substr $buffer, 0, $at + length $until, '';
        return substr $text, 0, $at;
    };

    my ($head, $status, $reason, @headers);
    do {
        $head = $upto->("\r\n\r\n");
        my @lines = split /\r\n/, $head;
        ($status, $reason) = shift(@lines) =~ m{\AHTTP/1\.[01] (\d{3}) ?(.*)\z} or die "not HTTP: $head\n";
        @headers = map { [/\A([^:\s]+):\s*(.*?)\s*\z/] } @lines;
    } while $status =~ /\A1/;
    my $answer = PWK::Client::Answer->new(status => $status, reason => $reason, head => $head, headers => \@headers);

    my $length = $answer->header('Content-Length');
    my $body   = '';
    my $closes = ($answer->header('Connection') // '') =~ /\bclose\b/i;
    if ($method eq 'HEAD' || $status == 204 || $status == 304) { }
    elsif (($answer->header('Transfer-Encoding') // '') =~ /\bchunked\b/i) {
        while (my $size = hex $upto->("\r\n") =~ s/;.*//r) {
            while (length $buffer < $size + 2) { $more->() or die "cut off within a chunk\n" }
            $body .= substr $buffer, 0, $size + 2, '';
            substr $body, -2, 2, '';
        }
        while (length $upto->("\r\n")) { }
    }
    elsif (defined $length) {
        while (length $buffer < $length) { $more->() or die "cut off at @{[length $buffer]} of $length bytes\n" }
        $body = substr $buffer, 0, $length;
    }
    else {
        while ($more->()) { }
        ($body, $closes) = ($buffer, 1);
    }
    @$answer{qw(body closes)} = ($body, $closes);
    return $answer;
}

# -- cookies

sub _place ($url) {
    my ($host, $path) = $url =~ m{\Ahttps?://([^/:?\#]+)(?::\d+)?([^?\#]*)}i;
    return (lc $host, $path eq '' ? '/' : $path);
}

# Ports share cookies, as in a browser. Secure is not asked for: this machine counts as a trustworthy origin.
sub _take_cookies ($self, $url, $answer) {
    my ($host, $path) = _place($url);
    for my $cookie ($answer->cookies) {
        my $a      = $cookie->{attributes};
        my $domain = lc($a->{domain} // $host) =~ s/\A\.//r;
        next unless $host eq $domain || $host =~ /\.\Q$domain\E\z/;
        my $under = $a->{path} // ($path =~ m{\A(/.*)/[^/]*\z} ? $1 : '/');
        my $gone  = defined $a->{'max-age'} ? $a->{'max-age'} <= 0 : ($a->{expires} // '') =~ /\b(?:1970|Thu, 01-Jan-70)\b/;
        $self->forget($cookie->{name}, $domain, $under);
        next if $gone;
        push @{$self->{jar}}, {
            %$cookie, domain => $domain, exact => !defined $a->{domain}, path => $under,
            expires => defined $a->{'max-age'} ? time + $a->{'max-age'} : undef,
        };
    }
}

sub cookie_header ($self, $url) {
    my ($host, $path) = _place($url);
    my @sent = grep {
        my $c = $_;
        ($c->{exact} ? $host eq $c->{domain} : $host eq $c->{domain} || $host =~ /\.\Q$c->{domain}\E\z/)
            && ($path eq $c->{path} || index($path, $c->{path} =~ s{/?\z}{/}r) == 0)
            && (!defined $c->{expires} || $c->{expires} > time)
    } @{$self->{jar}};
    return join '; ', map {"$_->{name}=$_->{value}"} @sent;
}

# The value of a cookie in the jar, of any host.
sub cookie ($self, $name) {
    my ($cookie) = grep { $_->{name} eq $name } @{$self->{jar}};
    return $cookie && $cookie->{value};
}

sub jar ($self) { return @{$self->{jar}} }

sub set_cookie ($self, $name, $value, %where) {
    my ($host) = _place($where{url} // $self->{base});
    $self->forget($name, $host, $where{path} // '/');
    push @{$self->{jar}}, {name => $name, value => $value, domain => $host, exact => 1, path => $where{path} // '/'};
}

# Forgets the cookies of a name (of one host and path), or all of them.
sub forget ($self, $name = undef, $domain = undef, $path = undef) {
    @{$self->{jar}} = grep {
        defined $name && $_->{name} ne $name || defined $domain && $_->{domain} ne $domain || defined $path && $_->{path} ne $path
    } @{$self->{jar}};
}

# A second browser with the same cookies (a stolen jar, another tab).
sub twin ($self) {
    my $twin = bless {%$self, kept => {}, jar => [map { {%$_} } @{$self->{jar}}]}, ref $self;
    return $twin;
}

package PWK::Client::Answer;

use v5.36;

sub new ($class, %answer) { return bless {%answer}, $class }

sub status ($self)  { return $self->{status} }
sub reason ($self)  { return $self->{reason} }
sub method ($self)  { return $self->{method} }
sub url ($self)     { return $self->{url} }
sub body ($self)    { return $self->{body} }
sub head ($self)    { return $self->{head} }
sub history ($self) { return @{$self->{history} // []} }

# Every value of a header, in order; in scalar context the only or the first one.
sub header ($self, $name) {
    my @values = map { $_->[1] } grep { lc $_->[0] eq lc $name } @{$self->{headers}};
    return wantarray ? @values : $values[0];
}

sub header_names ($self) { return map { $_->[0] } @{$self->{headers}} }
sub is_redirect ($self)  { return $self->{status} =~ /\A30[12378]\z/ && defined $self->header('Location') }

# Location, made absolute.
sub location ($self) {
    my $to = $self->header('Location') // return;
    return $to if $to =~ m{\Ahttps?://}i;
    my ($origin, $path) = $self->{url} =~ m{\A(https?://[^/?\#]+)([^?\#]*)};
    return $to =~ m{\A/} ? "$origin$to" : $origin . ($path =~ s{[^/]*\z}{}r || '/') . $to;
}

sub json ($self) { return JSON::PP->new->utf8->decode($self->{body}) }

# Every Set-Cookie: {name, value, attributes => {lower-case name => value or ''}, line}.
sub cookies ($self) {
    my @cookies;
    for my $line ($self->header('Set-Cookie')) {
        my ($pair, @attributes) = split /\s*;\s*/, $line;
        my ($name, $value) = $pair =~ /\A([^=]*)=(.*)\z/ or next;
        my %attribute = map { /\A([^=]+)=?(.*)\z/ ? (lc $1 => $2) : () } @attributes;
        push @cookies, {name => $name, value => $value, attributes => \%attribute, line => $line};
    }
    return @cookies;
}

sub cookie ($self, $name) {
    my ($cookie) = grep { $_->{name} eq $name } $self->cookies;
    return $cookie;
}

1;
