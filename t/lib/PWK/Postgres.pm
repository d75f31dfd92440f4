package PWK::Postgres;

# A PostgreSQL server of a test's own, on a free port of 127.0.0.1, with everything that can happen to one.
#
#     my $postgres = PWK::Postgres->start;
#     $server->vars(POSTGRES => $postgres->params);    # PaywayLedger pgsql "@POSTGRES@"
#     $postgres->sql('SELECT state FROM payway_purchase');
#     $postgres->freeze; $postgres->thaw;
#
# The role that `params` names owns one schema of the database `payway`, where its tables come to stand, and may do nothing
# else. The server ends with the test, whatever becomes of it.

use v5.36;
use Carp           qw(croak);
use File::Path     qw(remove_tree);
use File::Temp     ();
use POSIX          qw(WNOHANG);
use PWK::Server    ();
use Time::HiRes    qw(sleep time);

use constant {
    START_SECONDS => 30,
    STOP_SECONDS  => 5,
    ROLE          => 'payway',
    DATABASE      => 'payway',
};

my %live;

# The directory of its programs; nothing when it is not installed.
sub programs ($class) {
    my ($dir) = grep { -x "$_/initdb" && -x "$_/postgres" }
        (map { $_->[0] } sort { $b->[1] <=> $a->[1] } map { [$_, m{/([\d.]+)/bin\z}] } glob '/usr/lib/postgresql/*/bin'),
        `pg_config --bindir 2>/dev/null` =~ /\A(.+)\n/;
    return $dir // ();
}

sub start ($class) {
    my $self = bless {
        bin => $class->programs // croak('PostgreSQL is not installed'),
        owner => $$, port => PWK::Server::free_port(),
        password => {map { ($_ => PWK::Server::random_text(18)) } 'postgres', ROLE},
    }, $class;
    # It refuses to run as root.
    my ($user) = $> ? () : grep { defined getpwnam $_ } 'postgres', PWK::Server::server_user();
    @$self{qw(uid gid)} = (getpwnam $user)[2, 3] if defined $user;
    $self->{root} = File::Temp::tempdir('pwk-postgres-XXXXXXXX', TMPDIR => 1);
    $live{$self} = $self;
    $self->_file('password', $self->{password}{postgres});
    $self->_own($self->{root}, "$self->{root}/password");
    my $log = "$self->{root}/initdb.log";
    my $pid = $self->_spawn($log, "$self->{bin}/initdb", '-D', "$self->{root}/data", '-U', 'postgres', '-A', 'scram-sha-256',
        "--pwfile=$self->{root}/password", '-E', 'UTF8', '--locale=C', '--no-sync');
    { local $?; waitpid $pid, 0; croak 'initdb: ' . PWK::Server::slurp($log) if $? }
    $self->_file('data/postgresql.auto.conf', <<~"CONF");
        listen_addresses = '127.0.0.1'
        port = $self->{port}
        unix_socket_directories = ''
        max_connections = 150
        shared_buffers = 16MB
        fsync = off
        CONF
    $self->_own("$self->{root}/data/postgresql.auto.conf");
    $self->resume;
    my ($role, $database) = (ROLE, DATABASE);
    $self->sql("CREATE ROLE $role LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '$self->{password}{$role}'", 'postgres');
    $self->database($database);
    return $self;
}

# A database in which the role has one schema, and nothing else.
sub database ($self, $name) {
    my $role = ROLE;
    $self->sql("CREATE DATABASE $name", 'postgres');
    $self->sql("REVOKE ALL ON DATABASE $name FROM PUBLIC; GRANT CONNECT ON DATABASE $name TO $role;"
            . " REVOKE ALL ON SCHEMA public FROM PUBLIC; CREATE SCHEMA $role AUTHORIZATION $role", $name);
}

sub port ($self)     { return $self->{port} }
sub password ($self) { return $self->{password}{+ROLE} }

# What stands in PaywayLedger; with members of it replaced, or left out (undef).
sub params ($self, %change) {
    my %param = (host => '127.0.0.1', port => $self->{port}, dbname => DATABASE, user => ROLE, password => $self->password, %change);
    return join ' ', map { defined $param{$_} ? "$_=$param{$_}" : () } sort keys %param;
}

# -- looking

sub _client ($self, $program, $database, @more) {
    local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
    local $ENV{PGPASSWORD} = $self->{password}{postgres};
    local $ENV{PGCONNECT_TIMEOUT} = 5;
    open my $out, '-|', "$self->{bin}/$program", '-h', '127.0.0.1', '-p', $self->{port}, '-U', 'postgres', '-d', $database, @more
        or croak "$program: $!";
    local $/;
    my $said = <$out> // '';
    local ($?, $!);
    close $out or croak "$program @more: status $?";
    return $said;
}

# Runs statements as the superuser, in the tables of the role; the rows, columns apart by '|'.
sub sql ($self, $statements, $database = DATABASE) {
    my @path = $database eq 'postgres' ? () : ('-c', 'SET search_path = ' . ROLE);
    return $self->_client('psql', $database, '-XAtq', '-v', 'ON_ERROR_STOP=1', @path, '-c', $statements) =~ s/\n\z//r;
}

# All that the database holds, as text.
sub dump ($self) { return $self->_client('pg_dump', DATABASE) }

# -- what happens to it

# Its sessions end; new ones may begin.
sub disconnect ($self) {
    $self->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '@{[ROLE]}'");
    return $self;
}

# Every session writes, or none does, those that are there as well.
sub read_only ($self, $is) {
    $self->sql($is ? 'ALTER SYSTEM SET default_transaction_read_only = on' : 'ALTER SYSTEM RESET default_transaction_read_only', 'postgres');
    $self->sql('SELECT pg_reload_conf()', 'postgres');
    my $end = time + 10;
    sleep 0.02 while $self->sql('SHOW default_transaction_read_only', 'postgres') ne ($is ? 'on' : 'off') && time < $end;
    return $self;
}

sub _processes ($self) {
    my $postmaster = $self->_postmaster // return;
    return ($postmaster, split ' ', `pgrep -P $postmaster`);
}

# Nothing of it runs any more, and its connections stay open: like a machine that has lost its disk. Only the kernel
# still answers.
sub freeze ($self) {
    my $postmaster = $self->_postmaster;
    kill STOP => $postmaster;
    kill STOP => $self->_processes;
    return $self;
}

sub thaw ($self) {
    kill CONT => reverse $self->_processes;
    return $self;
}

# Ends all of it at once, as a power cut does, with what was not written yet.
sub crash ($self) {
    kill KILL => $self->_processes;
    return $self->stop;
}

sub restart ($self) { $self->stop; return $self->resume }

# Starts it (again), and returns when it can be asked.
sub resume ($self) {
    pipe my $in, my $out or croak "pipe: $!";
    my $pid = fork // croak "fork: $!";
    if (!$pid) {
        close $out;
        $SIG{$_} = 'IGNORE' for qw(INT TERM HUP);
        eval { $self->_keep($in) } or print STDERR "postgres: $@";
        POSIX::_exit(0);
    }
    close $in;
    @$self{qw(keeper lifeline)} = ($pid, $out);
    my $end = time + START_SECONDS;
    local $?;
    until ($self->_postmaster && !system "$self->{bin}/pg_isready", '-q', '-h', '127.0.0.1', '-p', $self->{port}) {
        croak 'PostgreSQL did not start: ' . PWK::Server::slurp("$self->{root}/log") if time > $end;
        sleep 0.05;
    }
    return $self;
}

# Ends it in the ordinary way: sessions are ended, what is committed is kept.
sub stop ($self) {
    my $keeper = delete $self->{keeper} or return $self;
    syswrite $self->{lifeline}, "\n";    # closing it is not enough when children of the test hold it as well
    close delete $self->{lifeline};
    local ($?, $!);
    waitpid $keeper, 0;
    return $self;
}

# In a process of its own: starts the server, and ends it when it is told so, or nobody holds the other end of `$in` any more.
sub _keep ($self, $in) {
    unlink "$self->{root}/data/postmaster.pid";
    my $pid = $self->_spawn("$self->{root}/log", "$self->{bin}/postgres", '-D', "$self->{root}/data");
    sysread $in, my $nothing, 1;
    for my $signal (qw(INT QUIT KILL)) {
        kill CONT => $self->_processes;
        kill $signal => $pid;
        my $end = time + STOP_SECONDS;
        while (time < $end) {
            return 1 if waitpid($pid, WNOHANG) != 0;
            sleep 0.02;
        }
    }
    return 1;
}

sub _postmaster ($self) {
    return PWK::Server::slurp("$self->{root}/data/postmaster.pid") =~ /\A(\d+)\n/ ? $1 : undef;
}

# -- processes and files

sub _spawn ($self, $log, @command) {
    my $pid = fork // croak "fork: $!";
    return $pid if $pid;
    POSIX::setsid();
    if (defined $self->{uid}) {
        local $) = "$self->{gid} $self->{gid}";
        POSIX::setgid($self->{gid});
        POSIX::setuid($self->{uid});
    }
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
    delete @ENV{grep {/\A(?:LC_|LANG|PG)/} keys %ENV};
    chdir $self->{root};
    open STDIN,  '<', '/dev/null' or POSIX::_exit(126);
    open STDOUT, '>>', $log       or POSIX::_exit(126);
    open STDERR, '>&', \*STDOUT   or POSIX::_exit(126);
    { no warnings 'exec'; exec @command }
    POSIX::_exit(127);
}

sub _file ($self, $name, $content) {
    open my $out, '>', "$self->{root}/$name" or croak "$name: $!";
    print {$out} $content;
    close $out or croak "$name: $!";
    chmod 0600, "$self->{root}/$name";
}

sub _own ($self, @paths) { chown @$self{qw(uid gid)}, @paths if defined $self->{uid} }

# -- the end

sub remove ($self) {
    return unless $self->{owner} == $$ && delete $live{$self};
    $self->stop;
    remove_tree($self->{root}, {safe => 0});
}

END {
    local ($?, $!);
    $_->remove for grep { $_->{owner} == $$ } values %live;
}

1;
