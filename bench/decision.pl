#!/usr/bin/env perl

# What one decision costs in instructions: our module against nginx's own
# limit_req, on the same keys, in one run.
#
# How: nginx runs as one process under callgrind, which counts only inside
# ngx_http_core_run_phases(), from the first phase to the response's header;
# what a request without a limiter takes there is subtracted.  That needs no
# symbol but one that every nginx exports.  All keys are in the zone before
# the counting begins, every request is admitted, and all are answered alike.
#
# Environment: NGINX_BIN and MODULES (paths), KEYS (numbers, separated by
# spaces).

use strict;
use warnings;

use File::Temp qw(tempdir);
use IO::Socket::INET;
use Time::HiRes qw(sleep);

use constant REQUESTS => 20_000;
use constant BATCH    => 50;
use constant PRIME    => 7_919;     # scatters the keys: divides no KEYS

my $nginx = $ENV{NGINX_BIN} || '/usr/sbin/nginx';
my ($module) = grep { /tbucket/ } split ' ', $ENV{MODULES} || '';
my @keys = split ' ', $ENV{KEYS} || '1000 100000';

die "MODULES names no ngx_http_tbucket_module.so\n" unless $module;

my @limiters = (
    [ none      => '' ],
    [ limit_req => 'limit_req zone=req burst=1000000 nodelay;' ],
    [ off       => 'tbucket zone=bucket; tbucket_headers off;' ],
    [ ietf      => 'tbucket zone=bucket; tbucket_headers ietf;' ],
    [ legacy    => 'tbucket zone=bucket; tbucket_headers legacy;' ],
);

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

printf "### Instructions for one decision\n\n"
    . "callgrind, %d admitted requests, all keys known\n\n"
    . "| keys | limit_req | tbucket | ratio | + ietf headers "
    . "| + legacy headers |\n"
    . "| ---: | ---: | ---: | ---: | ---: | ---: |\n", REQUESTS;

for my $n (@keys) {
    my %cost = map { $_->[0] => measure($_->[1], $n) } @limiters;
    my $theirs = $cost{limit_req} - $cost{none};
    my $ours = $cost{off} - $cost{none};

    printf "| %d | %.0f | %.0f | %.2f | %.0f | %.0f |\n", $n, $theirs, $ours,
        $ours / $theirs, $cost{ietf} - $cost{off},
        $cost{legacy} - $cost{off};
}


# Returns the instructions that a request takes in the phases.

sub measure {
    my ($limiter, $n) = @_;
    my $dir = tempdir(CLEANUP => 1);
    my $port = free_port();

    write_configuration($dir, $port, $limiter, $n);
    $pid = start($dir);

    my $sock = connection($port, $dir);

    ask($sock, map { $_ } 0 .. $n - 1);
    control($port, '-i', 'on');
    ask($sock, map { $_ * PRIME % $n } 1 .. REQUESTS);

    close $sock;
    kill 'QUIT', $pid;
    waitpid $pid, 0;
    undef $pid;

    return collected($dir) / REQUESTS;
}


sub write_configuration {
    my ($dir, $port, $limiter, $n) = @_;

    # both are given the room that all keys need, and no refusals

    my $size = 4 + int($n / 2000);

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
    tbucket_refill 10s;
    limit_req_zone \$http_x_api_key zone=req:${size}m rate=100000r/s;
    tbucket_zone \$http_x_api_key zone=bucket:${size}m rate=100000r/s
                 capacity=1000000;
    server {
        listen 127.0.0.1:$port;
        location / {
            $limiter
            empty_gif;
        }
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
    my ($dir) = @_;
    my $child = fork;

    die "fork: $!\n" unless defined $child;

    if ($child == 0) {
        open STDOUT, '>', "$dir/out" or exit 1;
        open STDERR, '>&', \*STDOUT or exit 1;

        exec 'valgrind', '--tool=callgrind', '--instr-atstart=no',
            '--toggle-collect=ngx_http_core_run_phases',
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


sub contents {
    my ($path) = @_;

    open my $file, '<', $path or return '';
    local $/;

    return <$file> // '';
}


sub ask {
    my ($sock, @numbers) = @_;

    while (my @batch = splice @numbers, 0, BATCH) {
        my $wait = @batch;
        my $answer = '';

        print $sock map {
            sprintf "HEAD / HTTP/1.1\r\nHost: a\r\nX-Api-Key: key-%07d\r\n\r\n",
                $_
        } @batch or die "nginx closed the connection\n";

        while ($wait) {
            sysread $sock, $answer, 65536, length $answer
                or die "nginx closed the connection\n";

            while ($answer =~ s/\A(.*?)\r\n\r\n//s) {
                my $head = $1;

                die "not admitted: $head\n"
                    unless $head =~ m{\AHTTP/1\.1 200 };
                $wait--;
            }
        }
    }
}


# Valgrind looks for commands while its program runs, so it is given lines
# to refuse, which never reach the phases.

sub control {
    my ($port, @command) = @_;
    my $child = fork;

    die "fork: $!\n" unless defined $child;

    if ($child == 0) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        exec 'callgrind_control', @command, $pid;
        exit 1;
    }

    while (waitpid($child, 1) == 0) {
        my $sock = IO::Socket::INET->new(PeerAddr => '127.0.0.1',
                                         PeerPort => $port)
            or next;

        print $sock "nonsense\r\n\r\n";
        () = <$sock>;
    }

    die "callgrind_control failed\n" if $?;
}


sub collected {
    my ($dir) = @_;

    contents("$dir/profile") =~ /^(?:totals|summary): (\d+)/m
        or die "callgrind left no profile: " . contents("$dir/out");

    die "callgrind counted nothing\n" unless $1;

    return $1;
}
