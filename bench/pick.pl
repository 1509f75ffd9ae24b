#!/usr/bin/env perl

# What one pick costs in instructions: each method of "lb" beside nginx's own
# round robin in a zone, with few and with many servers, in one run.
#
# How: nginx runs as one process under callgrind, which counts only inside
# the two functions that a balancer has for a request: get, which picks (and
# looks for an idle connection), and free, which takes the server back (and
# keeps the connection).  The servers are the loopback addresses of one
# listening socket of the same nginx; requests come one after the other.
#
# Environment: NGINX_BIN and MODULES (paths), SERVERS (numbers, separated by
# spaces), BALANCERS (names as below, all by default), KEEPALIVE (idle
# connections per server, 0 by default, as nginx keeps none by itself).

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::INET;
use Time::HiRes qw(sleep);

use constant REQUESTS => 3_000;

my $nginx = $ENV{NGINX_BIN} || '/usr/sbin/nginx';
my ($module) = grep { /lb_upstream/ } split ' ', $ENV{MODULES} || '';
my @servers = split ' ', $ENV{SERVERS} || '10 1000 10000';

die "MODULES names no ngx_http_lb_upstream_module.so\n" unless $module;

my $keepalive = $ENV{KEEPALIVE} // 0;

my @balancer = (
    (map { { name => "lb $_", conf => "lb $_; lb_keepalive $keepalive;",
             get  => 'ngx_http_lb_get_peer',
             free => 'ngx_http_lb_free_peer' } }
         'round_robin', 'random', 'p2c', 'least_time', 'hash $request_id',
         'least_conn'),
    { name => 'nginx', conf => 'zone u 64m;',
      get  => 'ngx_http_upstream_get_round_robin_peer',
      free => 'ngx_http_upstream_free_round_robin_peer' },
);

if ($ENV{BALANCERS}) {
    @balancer = grep { index(" $ENV{BALANCERS} ",
                             ' ' . $_->{name} =~ s/^lb |\s\$.*//gr . ' ')
                       >= 0 } @balancer;
}

my $pid;

END {
    my $status = $?;

    if ($pid) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
    }

    $? = $status;
}

local $SIG{INT} = local $SIG{TERM} = sub { exit 1 };
local $SIG{PIPE} = 'IGNORE';

$| = 1;

printf "### Instructions for one pick\n\n"
    . "callgrind, %d requests; x: times that with %d servers\n\n"
    . "| balancer | servers | get | free | get + free | x |\n"
    . "| --- | ---: | ---: | ---: | ---: | ---: |\n",
    REQUESTS, $servers[0];

for my $balancer (@balancer) {
    my $first;

    for my $n (@servers) {
        my $cost = measure($balancer, $n);
        my $sum = $cost->{get} + $cost->{free};

        $first //= $sum;

        printf "| %s | %d | %.0f | %.0f | %.0f | %.2f |\n",
            $balancer->{name}, $n, $cost->{get}, $cost->{free}, $sum,
            $sum / $first;
    }
}

print "\n";


# Returns the instructions of get and free for one request.

sub measure {
    my ($balancer, $n) = @_;
    my $dir = tempdir(CLEANUP => 1);
    my ($port, $backend) = (free_port(), free_port());

    write_configuration($dir, $port, $backend, $balancer->{conf}, $n);
    $pid = start($dir, $balancer);

    my $sock = connection($port, $dir);

    for (1 .. REQUESTS) {
        print $sock "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
            or die "nginx closed the connection\n";
        answered($sock);
    }

    close $sock;
    kill 'QUIT', $pid;
    waitpid $pid, 0;
    undef $pid;

    return { map { $_ => instructions($dir, $balancer->{$_}) / REQUESTS }
             qw(get free) };
}


sub write_configuration {
    my ($dir, $port, $backend, $balancer, $n) = @_;

    my $servers = join "\n        ",
        map { sprintf 'server 127.0.%d.%d:%d;', 1 + $_ / 250, 1 + $_ % 250,
              $backend } 0 .. $n - 1;

    open my $conf, '>', "$dir/nginx.conf" or die "$dir/nginx.conf: $!\n";

    print $conf <<"EOF" or die "$dir/nginx.conf: $!\n";
load_module $module;
daemon off;
master_process off;
pid $dir/nginx.pid;
error_log $dir/error.log error;
events { }
http {
    access_log off;
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    keepalive_requests 100000000;
    keepalive_timeout 1h;
    upstream u {
        $balancer
        $servers
    }
    server {
        listen 127.0.0.1:$port;
        location / { proxy_pass http://u; }
    }
    server {
        listen $backend;
        location / { return 204; }
    }
}
EOF

    close $conf or die "$dir/nginx.conf: $!\n";
}


sub free_port {
    my $sock = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
        or die "no free port: $!\n";

    return $sock->sockport;
}


sub start {
    my ($dir, $balancer) = @_;
    my $child = fork;

    die "fork: $!\n" unless defined $child;

    if ($child == 0) {
        open STDOUT, '>', "$dir/out" or exit 1;
        open STDERR, '>&', \*STDOUT or exit 1;

        exec 'valgrind', '--tool=callgrind',
            "--toggle-collect=$balancer->{get}",
            "--toggle-collect=$balancer->{free}",
            "--callgrind-out-file=$dir/profile",
            $nginx, '-p', $dir, '-c', "$dir/nginx.conf";
        exit 1;
    }

    return $child;
}


sub connection {
    my ($port, $dir) = @_;

    for (1 .. 600) {
        my $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                         PeerPort => $port);

        return $sock if $sock;

        if (waitpid($pid, 1) == $pid) {
            undef $pid;
            die "nginx ended at its start: " . contents("$dir/out")
                . contents("$dir/error.log");
        }

        sleep 0.1;
    }

    die "nginx does not listen\n";
}


sub answered {
    my ($sock) = @_;
    my $answer = '';

    until ($answer =~ /\r\n\r\n/) {
        sysread $sock, $answer, 65536, length $answer
            or die "nginx closed the connection\n";
    }

    die "not answered: $answer\n" unless $answer =~ m{\AHTTP/1\.1 204 };
}


sub contents {
    my ($path) = @_;

    open my $file, '<', $path or return '';
    local $/;

    return <$file> // '';
}


# What callgrind counted in a function and all that it called.

sub instructions {
    my ($dir, $function) = @_;

    my $listing = `callgrind_annotate --inclusive=yes --threshold=100 $dir/profile 2>&1`;

    $listing =~ /^\s*([\d,]+) \([^)]*\)\s+\S*?\Q$function\E\b/m
        or die "callgrind did not see $function: " . contents("$dir/out");

    return $1 =~ tr/,//dr;
}
