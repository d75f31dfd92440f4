package PaywaySim::Request;

# A request as the roles see it: read once, with what the roles found out about it (client, account, claims) for the
# journal.

use Mojo::Base -base, -signatures;
use Mojo::JSON qw(decode_json);
use Mojo::Parameters;
use PaywaySim::Answer qw(refuse);

has [qw(role method path query headers body cookies)];
has [qw(client account claims operation)];

sub from_tx ($class, $role, $tx) {
    my $req = $tx->req;
    return $class->new(
        role    => $role,
        method  => uc $req->method,
        path    => $req->url->path->to_string || '/',
        query   => $req->url->query->pairs,
        headers => {map { (lc $_ => scalar $req->headers->header($_)) } @{$req->headers->names}},
        body    => $req->body,
        cookies => {map { ($_->name => $_->value) } @{$req->cookies}},
    );
}

sub header ($self, $name) { return $self->headers->{lc $name} }

sub url ($self) {
    my $query = Mojo::Parameters->new(@{$self->query})->to_string;
    return $self->path . (length $query ? "?$query" : '');
}

sub media_type ($self) {
    my ($type) = ($self->header('Content-Type') // '') =~ m{\A\s*([^\s;]+)};
    return lc($type // '');
}

# Name-value pairs as a hash. A parameter given twice is refused: which of the two would count is not documented, so
# nobody may depend on it.
sub _once ($pairs) {
    my @rest = @$pairs;
    my %value;
    while (my ($name, $value) = splice @rest, 0, 2) {
        refuse(400, 'invalid_parameter', 'Parameter must be given once', $name) if exists $value{$name};
        $value{$name} = $value;
    }
    return \%value;
}

sub query_once ($self) { return _once($self->query) }

sub form_once ($self) { return _once(Mojo::Parameters->new($self->body)->pairs) }

# The body as one JSON object, by the rules of reference 2.4.
sub json_object ($self) {
    refuse(400, 'invalid_content_type_error', 'Content-Type must be application/json')
        unless $self->media_type eq 'application/json';
    my $data = eval { decode_json($self->body) };
    refuse(400, 'json_parser_error', 'The request body is not valid JSON') if $@;
    refuse(400, 'json_parser_error', 'The request body must be a JSON object') unless ref $data eq 'HASH';
    return $data;
}

1;
