package Bench;

# What the benchmarks share: an nginx of one process under callgrind; for the
# balancer a backend that answers on every loopback address and a gateway in
# front of it, plain or under callgrind; and requests to count.

use strict;
use warnings;

use Exporter qw(import);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep);

our @EXPORT_OK = qw(alone ask backend call child contents count counted exchange
                    free_port gateway get instructions module passes profiled
                    put reconnect redis refused servers stop total watched);

use constant BATCH => 50;

my $nginx = $ENV{NGINX_BIN} || '/usr/sbin/nginx';
my %running;

END {
    my $status = $?;

    kill 'KILL', keys %running;
    waitpid $_, 0 for keys %running;

    $? = $status;
}

$SIG{INT} = $SIG{TERM} = sub { exit 1 };
$SIG{PIPE} = 'IGNORE';


# The path in MODULES of the module whose name has the word in it.

sub module {
    my ($word) = @_;
    my ($path) = grep { /$word/ } split ' ', $ENV{MODULES} || '';

    die "MODULES names no module of *$word*\n" unless $path;

    return $path;
}


# The server lines of n servers, all of them one listening socket.

sub servers {
    my ($n, $port) = @_;

    return join "\n", map {
        sprintf 'server 127.0.%d.%d:%d;', 1 + $_ / 250, 1 + $_ % 250, $port
    } 0 .. $n - 1;
}


# Starts a program that ends with the benchmark; returns its port when it
# listens there.

sub child {
    my ($port, @command) = @_;
    my $pid = fork;

    die "fork: $!\n" unless defined $pid;

    if ($pid == 0) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>&', \*STDOUT;
        exec @command;
        exit 1;
    }

    $running{$pid} = 1;

    for (1 .. 200) {
        return $port if IO::Socket::INET->new("127.0.0.1:$port");
        sleep 0.05;
    }

    die "$command[0] does not listen\n";
}


# A redis-server that keeps nothing.  Returns its port and what a store is given
# to reach it over TLS.

sub redis {
    my $port = free_port();
    my $tls = free_port();
    my $dir = tempdir(CLEANUP => 1);

    system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
           . "-nodes -days 2 -subj /CN=redis -addext "
           . "subjectAltName=IP:127.0.0.1 -keyout $dir/key -out $dir/cert "
           . '2>/dev/null') == 0 or die "openssl makes no certificate\n";

    child($port, 'redis-server', '--port', $port, '--bind', '127.0.0.1',
          '--save', '', '--appendonly', 'no', '--dir', $dir,
          '--tls-port', $tls, '--tls-cert-file', "$dir/cert",
          '--tls-key-file', "$dir/key", '--tls-ca-cert-file', "$dir/cert",
          '--tls-auth-clients', 'no');

    return ($port, "rediss://127.0.0.1:$tls tls_ca=$dir/cert");
}


# Starts a backend; returns what it is known by.

sub backend {
    my $port = free_port();

    return start([], 'events { worker_connections 19000; }', <<"EOF", $port);
    server {
        listen $port backlog=4096;
        location / { return 204; }
    }
EOF
}


# Starts an nginx as one process, under callgrind with these options if there
# are any; http is what stands in http {}, port where it listens.  Returns what
# it is known by.

sub profiled {
    my (%with) = @_;
    my $main = join "\n", (map { "load_module $_;" } @{ $with{modules} }),
        'events { worker_connections 19000; }';

    return start($with{options} ? callgrind(@{ $with{options} }) : [], $main,
                 $with{http}, $with{port});
}


sub callgrind {
    my (@options) = @_;

    return ['valgrind', '--tool=callgrind', '--callgrind-out-file=profile',
            @options];
}


# Starts a gateway as one process, under callgrind that does not count yet
# if that is asked for, or with so many workers.  Returns what it is known by.

sub gateway {
    my (%with) = @_;
    my $port = free_port();
    my $valgrind = $with{callgrind} ? callgrind('--instr-atstart=no') : [];
    my $main = join "\n", (map { "load_module $_;" } @{ $with{modules} }),
        'events { worker_connections 19000; }';

    $main .= "\nworker_processes $with{workers};" if $with{workers};
    $main .= "\n$with{main}" if $with{main};

    return start($valgrind, $main, <<"EOF", $port, $with{workers});
    $with{http}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    upstream u {
        $with{upstream}
    }
    server {
        listen 127.0.0.1:$port backlog=4096;
        location / {
            $with{location}
            proxy_pass http://u;
        }
    }
EOF
}


# Whether nginx refuses a configuration with these lines in an upstream.

sub refused {
    my ($upstream, @modules) = @_;
    my $dir = tempdir(CLEANUP => 1);

    write_configuration($dir, join("\n", map { "load_module $_;" } @modules)
        . "\nevents { }", "upstream u {\n$upstream\n}", 0);

    return system("$nginx -t -p $dir -c $dir/nginx.conf >/dev/null 2>&1") != 0;
}


sub start {
    my ($command, $main, $http, $port, $workers) = @_;
    my $dir = tempdir(CLEANUP => 1);

    write_configuration($dir, $main, $http, $workers);

    my $child = fork;

    die "fork: $!\n" unless defined $child;

    if ($child == 0) {
        chdir $dir or exit 1;
        open STDOUT, '>', 'out' or exit 1;
        open STDERR, '>&', \*STDOUT or exit 1;

        # each idle connection to a server is an open file

        exec 'sh', '-c', 'ulimit -n "$(ulimit -H -n)"; exec "$@"', 'sh',
            @$command, $nginx, '-p', $dir, '-c', "$dir/nginx.conf";
        exit 1;
    }

    $running{$child} = $dir;

    my $self = { pid => $child, port => $port, dir => $dir,
                 profile => "$dir/profile" };

    $self->{socket} = connection($self);

    return $self;
}


sub write_configuration {
    my ($dir, $main, $http, $workers) = @_;
    my $master = $workers ? 'on' : 'off';

    open my $conf, '>', "$dir/nginx.conf" or die "$dir/nginx.conf: $!\n";

    print $conf <<"EOF" or die "$dir/nginx.conf: $!\n";
daemon off;
master_process $master;
pid $dir/nginx.pid;
error_log $dir/error.log error;
$main
http {
    access_log off;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    keepalive_requests 100000000;
    keepalive_timeout 1h;
$http
}
EOF

    close $conf or die "$dir/nginx.conf: $!\n";
}


sub free_port {
    my $sock = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
        or die "no free port: $!\n";

    return $sock->sockport;
}


sub connection {
    my ($self) = @_;

    for (1 .. 1200) {
        my $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                         PeerPort => $self->{port});

        return $sock if $sock;

        if (waitpid($self->{pid}, WNOHANG) == $self->{pid}) {
            delete $running{$self->{pid}};
            die "nginx ended at its start: " . contents("$self->{dir}/out")
                . contents("$self->{dir}/error.log");
        }

        sleep 0.1;
    }

    die "nginx does not listen\n";
}


sub stop {
    my ($self) = @_;

    close $self->{socket};
    kill 'TERM', $self->{pid};
    waitpid $self->{pid}, 0;
    delete $running{$self->{pid}};
}


sub contents {
    my ($path) = @_;

    open my $file, '<', $path or return '';
    local $/;

    return <$file> // '';
}


# Asks for so many pages, ?k=0 and up.

sub ask {
    my ($self, $n) = @_;

    exchange($self, 204, BATCH,
             map { "GET /?k=$_ HTTP/1.1\r\nHost: a\r\n\r\n" } 0 .. $n - 1);
}


# The body of the answer to a GET; puts a JSON text, which has to succeed.

sub get {
    my ($url) = @_;

    return call('GET', $url, '') =~ s/\A.*?\r\n\r\n//sr;
}


sub put {
    my ($url, $json) = @_;

    call('PUT', $url, $json);
}


# What a request with a JSON text is answered, which has to succeed.

sub call {
    my ($method, $url, $body) = @_;
    my ($to, $path) = $url =~ m{^http://([^/]+)(/.*)$} or die "$url\n";
    my $sock = IO::Socket::INET->new($to) or die "$to: $!\n";
    local $/;

    print $sock "$method $path HTTP/1.0\r\n"
        . "Content-Type: application/json\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";

    my $answer = <$sock> // '';

    die "$method $url: $answer\n" if $answer !~ m{\AHTTP/1\.[01] 20};

    return $answer;
}


# Has the requests to come sent from another address.

sub reconnect {
    my ($self, $address) = @_;

    close $self->{socket};

    $self->{socket} = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                            PeerPort => $self->{port},
                                            LocalAddr => $address)
        or die "$address: $!\n";
}


# Starts an nginx, by calling start, whose passes of the event loop are
# measured; see passes.c.

my $passes;

sub watched {
    my ($start) = @_;

    if (!$passes) {
        $passes = tempdir(CLEANUP => 1);

        system($ENV{CC} || 'cc', '-O2', '-shared', '-fPIC', '-o',
               "$passes/passes.so", dirname(__FILE__) . '/passes.c', '-ldl')
            == 0 or die "passes.c does not compile\n";
    }

    local $ENV{PASSES} = tempdir(CLEANUP => 1) . '/passes';
    local $ENV{LD_PRELOAD} = "$passes/passes.so";

    my $self = $start->();

    $self->{passes} = $ENV{PASSES};

    return $self;
}


# The longest pass and all together, in ms, and their number, since the last
# time that was asked.

sub passes {
    my ($self) = @_;

    open my $file, '+<:raw', $self->{passes}
        or die "$self->{passes}: $!\n";

    sysread $file, my $figures, 24;
    sysseek $file, 0, 0;
    syswrite $file, pack 'ddQ', 0, 0, 0;

    return unpack 'ddQ', $figures;
}


# Sends requests, so many at a time, each to be answered with the status and
# no body; nginx serves a connection's requests one after the other.

sub exchange {
    my ($self, $status, $batch, @requests) = @_;
    my $sock = $self->{socket};

    while (my @some = splice @requests, 0, $batch) {
        my $wait = @some;
        my $answer = '';

        print $sock @some or closed($self);

        while ($wait) {
            sysread $sock, $answer, 65536, length $answer or closed($self);

            while ($answer =~ s/\A(.*?)\r\n\r\n//s) {
                my $head = $1;

                die "not answered with $status: $head\n"
                    unless $head =~ m{\AHTTP/1\.1 $status };
                $wait--;
            }
        }
    }
}


# Says what is known of a connection that should have stayed.

sub closed {
    my ($self) = @_;
    my $error = $! ? ": $!" : '';

    sleep 0.5;

    my $ended = waitpid($self->{pid}, WNOHANG) == $self->{pid};

    delete $running{ $self->{pid} } if $ended;

    die "nginx closed the connection$error\n"
        . ($ended ? "and ended with status $?\n" : '')
        . contents("$self->{dir}/out") . contents("$self->{dir}/error.log");
}


# Has callgrind count, or write down what it has counted so far.  Valgrind
# looks for commands while its program runs, so that is given lines to refuse.

sub count {
    my ($self) = @_;

    control($self, '--instr=on');
}


sub counted {
    my ($self) = @_;

    control($self, '--dump');
    $self->{profile} = "$self->{dir}/profile.1";
}


sub control {
    my ($self, $command) = @_;
    my $child = fork;

    die "fork: $!\n" unless defined $child;

    if ($child == 0) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        exec 'callgrind_control', $command, $self->{pid};
        exit 1;
    }

    while (waitpid($child, WNOHANG) == 0) {
        my $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                         PeerPort => $self->{port})
            or next;

        print $sock "nonsense\r\n\r\n";
        () = <$sock>;
        sleep 0.01;
    }

    die "callgrind_control failed\n" if $?;
}


# What was written down, at the end if not before: all of it, what was counted
# in the functions named and in all that they called, or in these alone.

sub total {
    my ($self) = @_;

    contents($self->{profile}) =~ /^(?:totals|summary): (\d+)/m
        or die "callgrind left no profile: " . contents("$self->{dir}/out");

    die "callgrind counted nothing\n" unless $1;

    return $1;
}


sub instructions {
    my ($self, @functions) = @_;

    return counted_in($self, 'yes', @functions);
}


sub alone {
    my ($self, @functions) = @_;

    return counted_in($self, 'no', @functions);
}


sub counted_in {
    my ($self, $inclusive, @functions) = @_;
    my $sum = 0;
    my $annotate = "callgrind_annotate --auto=no --inclusive=$inclusive "
        . '--threshold=100';
    my $listing = `$annotate $self->{profile} 2>&1`;

    # one that others are a part of is listed for each of their files

    for my $function (@functions) {
        my @counts = $listing
            =~ /^\s*([\d,]+) \([^)]*\)\s+\S*?\Q$function\E\b/mg
            or die "callgrind did not see $function\n";

        $sum += tr/,//dr for $inclusive eq 'yes' ? $counts[0] : @counts;
    }

    return $sum;
}


1;
