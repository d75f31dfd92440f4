package PaywaySim::Journal;

# Every request to a role, in the order of arrival, with what became of it; so that a test can ask what was sent. The
# control role is not written down.

use Mojo::Base -base, -signatures;
use Mojo::JSON qw(decode_json);
use Mojo::Parameters;
use Time::HiRes qw(time);

use constant KEEP => 20_000;

has 'shape';

# With the switch `journal` at counts no entry is kept, and only what is needed to count it is written down.
sub open_entry ($self, $request, $fault) {
    return {time => time, role => $request->role, method => $request->method, path => $request->path}
        if $self->shape->get('journal') eq 'counts';
    my %entry = (
        time    => time,
        role    => $request->role,
        method  => $request->method,
        path    => $request->path,
        query   => Mojo::Parameters->new(@{$request->query})->to_hash,
        headers => $request->headers,
        status  => undef,
        fault   => $fault ? $fault->{id} : undef,
    );
    my $type = $request->media_type;
    if ($type eq 'application/x-www-form-urlencoded') { $entry{form} = Mojo::Parameters->new($request->body)->to_hash }
    elsif ($type eq 'application/json')               { $entry{json} = eval { decode_json($request->body) } }
    push @{$self->{entries}}, \%entry;
    shift @{$self->{entries}} if @{$self->{entries}} > KEEP;
    return \%entry;
}

# What the role found out; called when it has acted, and again with the status when something was sent.
sub note ($self, $entry, $request, $status = undef) {
    $entry->{$_} = $request->$_ for qw(client account claims operation);
    return unless defined $status;
    $entry->{status} = $status;
    $entry->{took}   = time - $entry->{time};
    $self->{stats}{"$entry->{role} $entry->{method} $entry->{path} $status"}++;
}

sub entries ($self, %filter) {
    my $prefix = delete $filter{path};
    return grep {
        my $entry = $_;
        (!defined $prefix || index($entry->{path}, $prefix) == 0)
            && !grep { ($entry->{$_} // '') ne $filter{$_} } keys %filter
    } @{$self->{entries} // []};
}

# [{role, method, path, status, count}]
sub stats ($self) {
    return [map {
        my %row = (count => $self->{stats}{$_});
        @row{qw(role method path status)} = split ' ';
        $row{status} += 0;
        \%row
    } sort keys %{$self->{stats} // {}}];
}

sub clear ($self) { delete @$self{qw(entries stats)} }

1;
