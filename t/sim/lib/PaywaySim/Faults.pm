package PaywaySim::Faults;

# Faults that a test orders: which request meets one, and what is done to its answer. The listener carries out what
# concerns time and the connection; spoiling an answer is done here.

use Mojo::Base -base, -signatures;
use Mojo::JSON qw(encode_json);
use PaywaySim::Answer qw(html json refuse);
use PaywaySim::Rules  qw(is_boolean is_number is_string);

# acts: whether the request is carried out in the books before the fault. 'choice' is told by before_acting, and
# without it the request is not carried out (a delay comes first, then the request is carried out).
our %KIND = (
    delay              => {acts => 'choice', says => 'waits `seconds`, then answers as usual'},
    hang               => {acts => 'choice', says => 'never answers; closes after `seconds` if given'},
    cut_before         => {acts => 'no',     says => 'closes the connection, nothing done'},
    cut_after          => {acts => 'yes',    says => 'does what was asked, then closes without an answer'},
    cut_body           => {acts => 'yes',    says => 'closes in the middle of the body'},
    status             => {acts => 'choice', says => 'answers `status` (503), with `retry_after` and `location`'},
    html               => {acts => 'choice', says => 'answers an HTML page, with `status` (200)'},
    empty              => {acts => 'choice', says => 'answers no body, with `status` (200)'},
    broken_json        => {acts => 'yes',    says => 'answers the first half of the JSON'},
    oversize           => {acts => 'yes',    says => 'pads the JSON to `bytes` (8 MB)'},
    slow_drip          => {acts => 'yes',    says => 'sends a byte every `seconds` (1)'},
    wrong_type         => {acts => 'yes',    says => 'answers every value with another JSON type'},
    wrong_content_type => {acts => 'yes',    says => 'answers as text/plain'},
);

my %FIELD = (
    role          => {test => sub ($v) { is_string($v) && $v =~ /\A(?:api|sso|portal|klarna)\z/ }, want => 'api|sso|portal|klarna'},
    path          => {test => sub ($v) { is_string($v) && $v =~ m{\A/} }, want => 'a path that starts with /'},
    method        => {test => sub ($v) { is_string($v) && $v =~ /\A[A-Z]+\z/ }, want => 'GET, POST ...'},
    kind          => {test => sub ($v) { is_string($v) && $KIND{$v} }, want => join('|', sort keys %KIND)},
    status        => {test => sub ($v) { is_number($v) && $v =~ /\A[2-5]\d\d\z/ }, want => 'a status, 200 to 599'},
    seconds       => {test => sub ($v) { is_number($v) && $v >= 0 }, want => 'a number of seconds'},
    before_acting => {test => \&is_boolean, want => 'true or false'},
    times         => {test => sub ($v) { is_number($v) && $v =~ /\A[1-9]\d*\z/ }, want => 'a number from 1'},
    retry_after   => {test => sub ($v) { is_number($v) && $v =~ /\A\d+\z/ }, want => 'a number of seconds'},
    location      => {test => \&is_string, want => 'a URL'},
    bytes         => {test => sub ($v) { is_number($v) && $v =~ /\A[1-9]\d*\z/ }, want => 'a number from 1'},
);

sub add ($self, $given) {
    for my $name (sort keys %$given) {
        my $field = $FIELD{$name} // refuse(400, 'unknown_parameter', "Unknown parameters: $name", $name);
        refuse(400, 'invalid_parameter', "Use $field->{want}", $name) unless $field->{test}->($given->{$name});
    }
    for my $name (qw(role kind)) {
        refuse(400, 'invalid_parameter', 'Parameter is required', $name) unless defined $given->{$name};
    }
    refuse(400, 'invalid_parameter', 'This kind decides it itself', 'before_acting')
        if exists $given->{before_acting} && $KIND{$given->{kind}}{acts} ne 'choice';
    my $id = ++$self->{last_id};
    push @{$self->{list}}, {%$given, id => $id, met => 0};
    return $id;
}

sub list ($self) { return @{$self->{list} // []} }

sub remove ($self, $id) {
    my @kept  = grep { $_->{id} != $id } $self->list;
    my $found = @kept < $self->list;
    $self->{list} = \@kept;
    return $found;
}

sub clear ($self) { $self->{list} = [] }

# The oldest fault that is meant for this request, if any; one that is used up leaves the list.
sub take ($self, $request) {
    for my $fault ($self->list) {
        next unless $fault->{role} eq $request->role;
        next if defined $fault->{path}   && index($request->path, $fault->{path}) != 0;
        next if defined $fault->{method} && $fault->{method} ne $request->method;
        $self->remove($fault->{id}) if ++$fault->{met} == ($fault->{times} // 0);
        return $fault;
    }
    return;
}

sub acts ($self, $fault) {
    my $acts = $KIND{$fault->{kind}}{acts};
    return $acts eq 'choice' ? exists $fault->{before_acting} && !$fault->{before_acting} : $acts eq 'yes';
}

# The answer as the fault leaves it. `$answer` is undef where the request was not carried out.
sub spoil ($self, $fault, $answer) {
    my $kind = $fault->{kind};
    if ($kind eq 'status') {
        my $spoiled = json($fault->{status} // 503, {code => 'internal_server_error', message => 'Simulated failure'});
        $spoiled->{headers}{'Retry-After'} = $fault->{retry_after} if defined $fault->{retry_after};
        $spoiled->{headers}{Location}      = $fault->{location}    if defined $fault->{location};
        return $spoiled;
    }
    return html($fault->{status} // 200, "<html><body><h1>We will be back soon</h1></body></html>\n") if $kind eq 'html';
    if ($kind eq 'empty') {
        return {status => $fault->{status} // 200, type => 'application/json', body => '', headers => {}};
    }
    my %spoiled = %$answer;
    if    ($kind eq 'broken_json')        { $spoiled{body} = substr $answer->{body}, 0, length($answer->{body}) / 2 }
    elsif ($kind eq 'wrong_content_type') { $spoiled{type} = 'text/plain' }
    elsif ($kind eq 'wrong_type')         { $spoiled{body} = encode_json(_other_types(_structure($answer))) }
    elsif ($kind eq 'oversize')           { $spoiled{body} = _padded($answer, $fault->{bytes} // 8 * 1024 * 1024) }
    return \%spoiled;
}

sub _structure ($answer) { return $answer->{json} // {} }

# The padding is inside the JSON and comes first: a parser that stops early still has to get through it.
sub _padded ($answer, $bytes) {
    my $body = encode_json(_structure($answer));
    my $room = $bytes - length($body) - length('"padding":"",');
    return $body if $room < 1 || $body !~ /\A\{/;
    my $rest = substr $body, 1;
    return '{"padding":"' . 'x' x $room . ($rest eq '}' ? '"}' : "\",$rest");
}

# The outermost object and its item or items stay, so that the reader gets as far as the values.
sub _other_types ($value, $depth = 0) {
    if (ref $value eq 'HASH') {
        return [sort keys %$value] if $depth > 1;
        return {map { ($_ => _other_types($value->{$_}, $depth + 1)) } keys %$value};
    }
    if (ref $value eq 'ARRAY') { return $depth == 1 ? [map { _other_types($_, 1) } @$value] : {list => scalar @$value} }
    return 'true' if is_boolean($value);
    return "$value" if is_number($value);
    return [] unless defined $value;
    return 42;
}

1;
