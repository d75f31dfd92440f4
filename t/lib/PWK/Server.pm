package PWK::Server;

# A real httpd on a free port of 127.0.0.1, in a scratch ServerRoot of its own.
#
#     my $server = PWK::Server->new(
#         modules => [qw(rewrite proxy_http)],
#         docroot => {'index.html' => 'hello'},
#         secrets => {key => undef, client => 'known to both sides'},
#         config  => "PaywayCache shmcb:@RUN@/payway\n",
#         vhosts  => [{name => 'www.example.se', config => '...'}],
#     );
#     $server->start;
#     $server->expect_log(qr/PWK0042/);
#
# In config, @NAME@ stands for something of this server: @PORT@, @URL@, @ROOT@ (scratch directory), @RUN@ (writable for
# the server's user), @DOCROOT@, @PAGES@, @SECRET:name@ (path of a secret), and what `vars` adds; an unknown one dies.
#
# The error_log is watched: a line of level warn or above that no expect_log or allow_log announced fails the test, and
# so does an expectation that nothing met. A crash cannot be announced. Sanitizer reports count as crashes.

use v5.36;
use Carp              qw(croak);
use Cwd               qw(realpath);
use Fcntl             qw(:flock);
use File::Basename    qw(dirname);
use File::Copy        ();
use File::Find        ();
use File::Path        qw(make_path remove_tree);
use File::Spec        ();
use File::Temp        ();
use IO::Socket::INET  ();
use MIME::Base64      qw(encode_base64url);
use POSIX             qw(WNOHANG);
use Time::HiRes       qw(sleep time);

our $SRCDIR   = $ENV{PWK_SRCDIR} // realpath(dirname(__FILE__) . '/../../..');
our $BUILDDIR = $ENV{PWK_BUILDDIR} // (grep { -e "$_/config.status" } "$SRCDIR/build", $SRCDIR)[0] // $SRCDIR;
our $MODULE   = $ENV{PWK_MODULE} // "$BUILDDIR/.libs/mod_payway_klarna.so";
our $HTTPD    = $ENV{PWK_HTTPD} || (grep {-x} qw(/usr/sbin/apache2 /usr/sbin/httpd /usr/local/apache2/bin/httpd))[0];
our $APXS     = $ENV{PWK_APXS} || 'apxs';

use constant {
    START_SECONDS => 30,
    STOP_SECONDS  => 30,
    PORT_FIRST    => 20_000,    # below what the kernel gives to outgoing connections
    PORT_COUNT    => 10_000,
};

# What every test server loads; `modules` adds to it.
my @MODULES = qw(unixd log_config authn_core authz_core authz_host mime dir alias env setenvif headers include
    socache_shmcb);

# Loaded before the module of the name.
my %NEEDS = (
    proxy_http   => ['proxy'],
    proxy_fcgi   => ['proxy'],
    proxy_http2  => [qw(http2 proxy)],
    cache_disk   => ['cache'],
    cache_socache => ['cache'],
    authn_file   => ['auth_basic'],
    authz_dbd    => ['dbd'],
    session_cookie => ['session'],
);

my %MIME = (
    'text/html' => 'html shtml', 'text/css' => 'css', 'text/javascript' => 'js', 'text/plain' => 'txt',
    'application/json' => 'json', 'image/svg+xml' => 'svg', 'image/png' => 'png', 'image/jpeg' => 'jpg',
);

my $CRASH = qr/exit\ signal | AH0005[0-2] | Sanitizer | runtime\ error: | Assertion\ .*failed | double\ free
    | corrupted | file\ .*,\ line\ \d+,\ assertion/x;
my $LEVEL = qr/\A\[[^\]]+\] \[[\w-]*:(warn|error|crit|alert|emerg)\]/;

my %live;    # servers to end with the test, by address

# -- making one

# mpm: event, worker or prefork (PWK_MPM). modules, docroot (a directory, copied, or {path => content}), files (more of
# them, below the scratch directory), pages (directories, copied one over the other), secrets ({name => content}, undef
# is random), config, vhosts, vars. payway => 0 leaves our module out. log_level. watch => 0 looks at no log line.
# port: instead of a free one. module: another build of ours. preload: shared objects that httpd starts with. environment:
# of httpd, {name => value}; values are written like the configuration.
sub new ($class, %option) {
    my $self = bless {
        mpm       => $option{mpm} // $ENV{PWK_MPM} // 'event',
        modules   => $option{modules} // [],
        payway    => $option{payway} // 1,
        config    => $option{config} // '',
        vhosts    => $option{vhosts} // [],
        vars      => $option{vars} // {},
        module    => $option{module} // $MODULE,
        preload   => $option{preload} // [],
        environment => $option{environment} // {},
        log_level => $option{log_level} // (($option{payway} // 1) ? 'warn payway_klarna:info' : 'warn'),
        watch     => $option{watch} // 1,
        owner     => $$,
        expected  => [],
        checked   => 0,
        failures  => [],
    }, $class;
    $self->{root} = File::Temp::tempdir('pwk-XXXXXXXX', TMPDIR => 1);
    chmod 0755, $self->{root};
    $live{$self} = $self;
    $self->{port} = $option{port} // $self->free_port;

    # At a restart the new CGI daemon may come before the old one has left its socket; httpd tries again by itself.
    $self->allow_log(qr/AH01243/) if grep { $_ eq 'cgi' } @{$self->{modules}};
    for my $dir (qw(conf docroot logs pages secrets)) { make_path($self->path($dir)) }
    $self->writable('run');
    $self->fill('docroot', $option{docroot} // {'index.html' => "index\n"});
    $self->fill('pages', $_) for @{$option{pages} // ["$SRCDIR/conf/pages"]};
    $self->file($_, $option{files}{$_}) for sort keys %{$option{files} // {}};
    my %secret = %{$option{secrets} // {}};
    $self->secret($_, $secret{$_}) for sort keys %secret;
    return $self;
}

sub port ($self) { return $self->{port} }
sub url ($self, $path = '') { return "http://127.0.0.1:$self->{port}$path" }
sub root ($self) { return $self->{root} }
sub path ($self, $name) { return "$self->{root}/$name" }
sub mpm ($self)  { return $self->{mpm} }
sub pid ($self)  { return $self->{pid} }

# Changes for the next start, graceful or configtest.
sub config ($self, $config) { $self->{config} = $config; return $self }
sub vhosts ($self, @vhosts) { $self->{vhosts} = [@vhosts]; return $self }
sub vars ($self, %vars)     { %{$self->{vars}} = (%{$self->{vars}}, %vars); return $self }

# Writes a file below the scratch directory, readable for the server's user. Returns its path.
sub file ($self, $name, $content, $mode = 0644) {
    my $path = $self->path($name);
    make_path(dirname($path));
    open my $out, '>:raw', $path or croak "$path: $!";
    utf8::encode($content) if utf8::is_utf8($content);
    print {$out} $content;
    close $out or croak "$path: $!";
    chmod $mode, $path;
    return $path;
}

# A file of mode 0600 with this content, or with 32 random bytes as text. Returns its path.
sub secret ($self, $name, $content = undef) {
    return $self->file("secrets/$name", $content // random_text(), 0600);
}

# A directory that the server's user may write. Returns its path.
sub writable ($self, $name) {
    my $path = $self->path($name);
    make_path($path);
    if (my ($user) = server_user()) { chown((getpwnam $user)[2, 3], $path) }
    return $path;
}

sub random_text ($bytes = 32) {
    open my $in, '<:raw', '/dev/urandom' or croak "/dev/urandom: $!";
    read($in, my $random, $bytes) == $bytes or croak 'no randomness';
    return encode_base64url($random);
}

# The user that children of a server started by root run as; nothing when we are not root.
sub server_user () {
    return if $>;
    my ($user) = grep { defined getpwnam $_ } qw(www-data apache daemon nobody);
    return $user // ();
}

# A port that no other test takes while this process lives: the lock says so, not luck.
my %port_lock;

sub free_port ($self = undef) {
    my $dir = File::Spec->tmpdir . "/pwk-ports-$>";
    mkdir $dir;
    for (1 .. 500) {
        my $port = PORT_FIRST + int rand PORT_COUNT;
        next if $port_lock{$port};
        open my $lock, '>>', "$dir/$port" or croak "$dir/$port: $!";
        flock $lock, LOCK_EX | LOCK_NB or next;
        my $probe = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $port, Listen => 1, ReuseAddr => 1) or next;
        close $probe;
        $port_lock{$port} = $lock;
        return $port;
    }
    croak 'no free port';
}

# Copies a directory, or writes a hash of files, to `$to` below the scratch directory.
sub fill ($self, $to, $from) {
    if (ref $from) {
        $self->file("$to/$_", $from->{$_}) for sort keys %$from;
        return;
    }
    croak "$from is no directory" unless -d $from;
    my $copy = sub {
        my $target = $self->path($to) . substr $File::Find::name, length $from;
        if (-d) { make_path($target); chmod 0755, $target; return }
        File::Copy::copy($_, $target) or croak "$File::Find::name: $!";
        chmod(-x $_ ? 0755 : 0644, $target);
    };
    File::Find::find({wanted => $copy, no_chdir => 1}, $from);
}

# -- configuration

my ($module_dir, %is_static);

sub _look_at_httpd () {
    return if $module_dir;
    croak 'httpd not found: set PWK_HTTPD' unless $HTTPD && -x $HTTPD;
    ($module_dir) = grep {-d} '/usr/lib/apache2/modules', '/usr/lib64/httpd/modules', dirname($HTTPD) . '/../modules';
    $is_static{$_} = 1 for `$HTTPD -l` =~ /mod_(\w+)\.c/g;
    for my $mpm (qw(event worker prefork)) { $is_static{"mpm_$mpm"} = 1 if $is_static{$mpm} }
}

sub _load ($self) {
    _look_at_httpd();
    my (%done, @lines);
    my $add;
    $add = sub ($name) {
        $name = 'cgid' if $name eq 'cgi' && $self->{mpm} ne 'prefork';
        return if $done{$name}++ || $is_static{$name};
        $add->($_) for @{$NEEDS{$name} // []};
        my $file = "$module_dir/mod_$name.so";
        croak "no module $file" unless -e $file;
        push @lines, "LoadModule ${name}_module $file\n";
    };
    $add->($_) for "mpm_$self->{mpm}", @MODULES, @{$self->{modules}};
    undef $add;
    if ($self->{payway}) {
        croak "$self->{module} is not there: run make first, or set PWK_MODULE" unless -e $self->{module};
        push @lines, "LoadModule payway_klarna_module $self->{module}\n";
    }
    return join '', @lines;
}

# The few processes and threads that a test needs; ServerLimit leaves room for generations that still finish.
sub _mpm_config ($self) {
    return <<~'PREFORK' if $self->{mpm} eq 'prefork';
        ServerLimit         64
        StartServers        4
        MinSpareServers     2
        MaxSpareServers     8
        MaxRequestWorkers   32
        PREFORK
    return <<~'THREADED';
        ServerLimit         8
        StartServers        1
        ThreadsPerChild     16
        MinSpareThreads     4
        MaxSpareThreads     64
        MaxRequestWorkers   64
        THREADED
}

sub expand ($self, $text) {
    my %var = (
        PORT => $self->{port}, URL => $self->url, ROOT => $self->{root}, RUN => $self->path('run'),
        DOCROOT => $self->path('docroot'), PAGES => $self->path('pages'), %{$self->{vars}},
    );
    $text =~ s/\@SECRET:([\w.-]+)\@/$self->path("secrets\/$1")/ge;
    $text =~ s/\@([A-Z][A-Z0-9_]*)\@/$var{$1} \/\/ croak "config: nothing is known of \@$1\@"/ge;
    return $text;
}

sub _vhost ($self, $vhost) {
    my $name = $vhost->{name} // '127.0.0.1';
    my $port = $vhost->{port} // $self->{port};
    my $root = $vhost->{docroot} // '@DOCROOT@';
    return "<VirtualHost 127.0.0.1:$port>\n    ServerName $name\n    DocumentRoot $root\n" . ($vhost->{config} // '')
        . "\n</VirtualHost>\n";
}

sub write_config ($self) {
    my $user = '';
    if (my ($name) = server_user()) {
        my $group = getgrgid((getpwnam $name)[3]);
        $user = "User $name\nGroup $group\n";
    }
    $self->file('conf/mime.types', join '', map {"$_ $MIME{$_}\n"} sort keys %MIME);
    my %listen = map { ($_ => 1) } $self->{port}, grep {defined} map { $_->{port} } @{$self->{vhosts}};
    my $cgid = $self->{mpm} ne 'prefork' && grep({ $_ eq 'cgi' } @{$self->{modules}}) ? "ScriptSock \@RUN\@/cgid.sock\n" : '';
    my $text = join '', $self->_load, $self->_mpm_config, $user, $cgid, map({"Listen 127.0.0.1:$_\n"} sort keys %listen),
        <<~'COMMON', $self->{config}, "\n", map { $self->_vhost($_) } @{$self->{vhosts}};
        ServerRoot          @ROOT@
        ServerName          127.0.0.1:@PORT@
        DefaultRuntimeDir   @RUN@
        PidFile             @RUN@/httpd.pid
        Mutex               file:@RUN@ default
        Timeout             20
        KeepAliveTimeout    5
        TypesConfig         conf/mime.types
        ErrorLog            logs/error_log
        LogFormat           "%h %u \"%r\" %>s %b \"%{PAYWAY_VERDICT}e\"" test
        CustomLog           logs/access_log test
        DocumentRoot        @DOCROOT@
        DirectoryIndex      index.html
        <Directory />
            AllowOverride   None
            Require         all denied
        </Directory>
        <Directory @DOCROOT@>
            Require         all granted
        </Directory>
        COMMON
    return $self->file('conf/httpd.conf', $self->expand("LogLevel $self->{log_level}\n$text"));
}

sub _command ($self, @more) {
    return ($HTTPD, '-d', $self->{root}, '-f', $self->path('conf/httpd.conf'), @more);
}

# Environment of httpd: nothing of the caller's locale or proxy, and the sanitizers' runtime when the build has them.
sub _environment ($self) {
    delete @ENV{grep {/\A(?:LC_|LANG|APACHE_)|_proxy\z/i} keys %ENV};
    $ENV{$_} = $self->expand($self->{environment}{$_}) for keys %{$self->{environment}};
    $ENV{LD_PRELOAD} = join ':', grep {length} $ENV{PWK_PRELOAD} // '', @{$self->{preload}};
    return unless $ENV{PWK_PRELOAD};
    $ENV{ASAN_OPTIONS} = 'detect_leaks=0:abort_on_error=1:' . ($ENV{ASAN_OPTIONS} // '');
}

sub _run ($self, @command) {
    my $output = $self->path('run/output');
    my $pid    = fork // croak "fork: $!";
    if (!$pid) {
        # httpd sends signals to its whole process group (prefork at every restart, all of them at the end), and takes a
        # resized terminal's SIGWINCH for a graceful stop.
        POSIX::setsid();
        $self->_environment;
        open STDIN,  '<', '/dev/null' or POSIX::_exit(126);
        open STDOUT, '>', $output     or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT or POSIX::_exit(126);
        { no warnings 'exec'; exec @command }
        POSIX::_exit(127);
    }
    return $pid;
}

sub _output ($self) { return slurp($self->path('run/output')) }

sub slurp ($path) {
    open my $in, '<:raw', $path or return '';
    local $/;
    return <$in> // '';
}

# `httpd -t`: (exit status, what it said).
sub configtest ($self) {
    $self->write_config;
    my $pid = $self->_run($self->_command('-t'));
    local $?;
    waitpid $pid, 0;
    return ($? >> 8 || $? & 127, $self->_output);
}

# -- running

# Starts and waits until it answers. Dies with everything that httpd said when it does not.
sub start ($self) {
    my ($ok, $said) = $self->try_start;
    croak "httpd did not start:\n$said" unless $ok;
    return $self;
}

# (started, what it said on the way: standard error and error_log).
sub try_start ($self) {
    croak 'already started' if $self->{pid};
    $self->write_config;
    my $mark = $self->mark;
    $self->{pid} = $self->_run($self->_command('-DFOREGROUND'));
    my $end = time + START_SECONDS;
    while (time < $end) {
        local $?;
        if (waitpid($self->{pid}, WNOHANG) != 0) {
            delete $self->{pid};
            return (0, $self->_output . $self->log_since($mark));
        }
        return (1, $self->_output . $self->log_since($mark)) if $self->_answers && $self->log_since($mark) =~ /resuming normal operations/;
        sleep 0.02;
    }
    my $said = $self->_output . $self->log_since($mark);
    $self->_end;
    return (0, "not ready after @{[START_SECONDS]} s\n$said");
}

sub _answers ($self) {
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port}, Timeout => 2);
}

# A graceful restart, or a plain one, with the configuration as it is now; returns when the new generation serves.
sub graceful ($self) { return $self->_again('USR1') }
sub restart ($self)  { return $self->_again('HUP') }

sub _again ($self, $signal) {
    croak 'not started' unless $self->{pid};
    $self->write_config;
    my $mark = $self->mark;
    kill $signal, $self->{pid};
    my $end = time + START_SECONDS;
    while (time < $end) {
        local $?;
        if (waitpid($self->{pid}, WNOHANG) != 0) {
            delete $self->{pid};
            croak "httpd ended at SIG$signal:\n" . $self->_output . $self->log_since($mark);
        }
        return $self if $self->log_since($mark) =~ /resuming normal operations/ && $self->_answers;
        sleep 0.02;
    }
    croak "httpd did not come back after SIG$signal:\n" . $self->log_since($mark);
}

# Ends parent and children at once, as a power cut does: nothing is tidied up. `start` begins anew.
sub kill_all ($self) {
    my $pid = delete $self->{pid} // croak 'not started';
    local ($?, $!);
    kill KILL => -$pid, $pid;
    waitpid $pid, 0;
    return $self->allow_log(qr/AH00098/);    # the pid file is overwritten
}

# Sends a signal to the parent and returns; `wait_for_end` waits until it is gone, which is no failure.
sub signal ($self, $name) { kill $name => $self->{pid}; return $self }

sub wait_for_end ($self, $seconds = STOP_SECONDS) {
    my $pid = $self->{pid} // return $self;
    local ($?, $!);
    my $end = time + $seconds;
    while (waitpid($pid, WNOHANG) == 0) {
        croak "httpd did not end within $seconds s" if time > $end;
        sleep 0.02;
    }
    delete $self->{pid};
    return $self;
}

# Whether the parent process is there still.
sub running ($self) {
    return 0 unless $self->{pid};
    local $?;
    return 1 if waitpid($self->{pid}, WNOHANG) == 0;
    delete $self->{pid};
    return 0;
}

# Ends httpd and looks at the log. Safe to call twice.
sub stop ($self) {
    $self->_end if $self->{pid};
    $self->_judge;
    return $self;
}

sub _end ($self) {
    my $pid = delete $self->{pid} // return;
    local ($?, $!);
    kill TERM => $pid;
    my $end = time + STOP_SECONDS;
    while (time < $end) {
        return if waitpid($pid, WNOHANG) != 0;
        sleep 0.02;
    }
    push @{$self->{failures}}, "httpd did not end within @{[STOP_SECONDS]} s of SIGTERM";
    kill KILL => -$pid, $pid;
    waitpid $pid, 0;
}

# -- logs

sub error_log ($self)  { return slurp($self->path('logs/error_log')) }
sub access_log ($self) { return split /\n/, slurp($self->path('logs/access_log')) }

# A place in the error_log, and what was written after it.
sub mark ($self) { return -s $self->path('logs/error_log') // 0 }
sub log_since ($self, $mark) { return substr $self->error_log, $mark }

# Waits for a line after `$mark`; returns it, or nothing after `$seconds`.
sub wait_for_log ($self, $pattern, $mark = 0, $seconds = 10) {
    my $end = time + $seconds;
    do {
        my ($line) = grep {/$pattern/} split /\n/, $self->log_since($mark);
        return $line if defined $line;
        sleep 0.05;
    } while time < $end;
    return;
}

# A line of level warn or above that matches will come, any number of times; or may come.
sub expect_log ($self, @patterns) { push @{$self->{expected}}, map { {re => $_, must => 1} } @patterns; return $self }
sub allow_log ($self, @patterns)  { push @{$self->{expected}}, map { {re => $_, must => 0} } @patterns; return $self }

sub _judge ($self) {
    return unless $self->{watch};
    my $log = $self->error_log;
    for my $line (split /\n/, substr $log, $self->{checked}) {
        if ($line =~ $CRASH) { push @{$self->{failures}}, "crash: $line"; next }
        next unless $line =~ $LEVEL;
        my @by = grep { $line =~ $_->{re} } @{$self->{expected}};
        $_->{met} = 1 for @by;
        push @{$self->{failures}}, "unexpected in error_log: $line" unless @by;
    }
    $self->{checked} = length $log;
    for my $expected (grep { $_->{must} && !$_->{met}++ } @{$self->{expected}}) {
        push @{$self->{failures}}, "expected in error_log, but it never came: $expected->{re}";
    }
}

# Stops, and returns what was wrong with the logs or with the end, once.
sub verdict ($self) {
    $self->stop;
    my @failures = splice @{$self->{failures}};
    return @failures;
}

# -- the end

# Removes the scratch directory; PWK_KEEP=1 leaves it to look at.
sub remove ($self) {
    return unless delete $live{$self};
    if ($ENV{PWK_KEEP}) { print STDERR "# kept $self->{root}\n"; return }
    remove_tree($self->{root}, {safe => 0});
}

# Servers of this test that are still there (for PWK::Test).
sub live ($class) { return grep { $_->{owner} == $$ } values %live }

# A test that dies must leave no httpd behind, and one that forgot to ask must not pass.
END {
    local $!;
    my $code = $?;
    for my $server (PWK::Server->live) {
        my @failures = $server->verdict;
        if (@failures) {
            print STDERR map {"# $_\n"} @failures;
            $code ||= 1;
        }
        $server->remove;
    }
    $? = $code;
}

# So that END runs when a test is interrupted.
for my $signal (qw(INT TERM HUP)) {
    $SIG{$signal} //= sub { exit 130 };
}

1;
