#!/usr/bin/env perl

# A queue under overload: three servers with room for 8 requests each, which
# take 20 ms, are asked by twice as many requests as they have places for, half
# of them of an upper class.  Who waits in what order, who is refused, and how
# many requests are served: nginx alone (max_conns), HAProxy (maxconn, priority
# classes, timeout queue) where it is installed, and the balancer with lb_queue,
# with max_conns and with a limit that finds itself.
#
# How: both ends are lib/overload.c, whose servers count what they have at a
# time, and whose clients come at random and do not wait for each other.  The
# gateways are asked one after the other.  Without load an answer takes what
# a tenth of the capacity gets, of the balancer.
#
# Environment: NGINX_BIN and MODULES (paths), SECONDS (of each gateway),
# WORKERS.

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin qw($Bin);
use IO::Socket::INET;
use lib "$Bin/lib";
use Bench qw(child free_port gateway module);

my $seconds = $ENV{SECONDS} || 60;
my $workers = $ENV{WORKERS} || 2;
my $work = 20;
my $places = 8;
my $servers = 3;
my $capacity = $servers * $places * 1000 / $work;

my $dir = tempdir(CLEANUP => 1);
my $program = "$dir/overload";

system('gcc', '-O2', '-o', $program, "$Bin/lib/overload.c", '-lm') == 0
    or die "overload.c does not compile\n";

my @ports = map { free_port() } 1 .. $servers;
child($ports[-1], $program, 'serve', $work, @ports);

my $lines = join "\n", map { "server 127.0.0.1:$_ max_conns=$places;" } @ports;
my $map = 'map $http_x_class $priority { 1 9; default 0; }';
my $queue = 'lb_queue u size=2000 timeout=1s priority=$priority';
my @lb = (workers => $workers, modules => [ module('lb_upstream') ],
          http => $map);

my $own = gateway(@lb, location => "$queue;",
                  upstream => "lb least_conn;\n$lines")->{port};

my @gateways = (
    [ 'nginx, max_conns' => gateway(workers => $workers, modules => [],
        http => '', location => '',
        upstream => "zone u 64k;\nleast_conn;\n$lines\nkeepalive 32;")
        ->{port} ],
    haproxy(),
    [ 'lb_queue, max_conns' => $own ],
    [ 'lb_queue, limit=auto' => gateway(@lb,
        location => "$queue limit=auto;",
        upstream => "lb least_conn;\n$lines")->{port} ],
);

$| = 1;

my $unloaded = measured($own, $capacity / 10, 5)->{1}{200};
my $failed = 0;

print "### Twice the capacity, two classes\n\n",
      "$servers servers, $places places each, $work ms of work; ",
      2 * $capacity, " requests a second for $seconds s, half of them of the ",
      "upper class.\nWithout load the upper class has p99 ",
      sprintf('%.1f', $unloaded->{p99}), " ms.\n\n",
      "| gateway | served/s | of capacity | upper: served, % | p50, ms ",
      "| p99, ms | lower: served, % | p99, ms | 503/s | 502/s ",
      "| most at a server |\n",
      "| :--- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: ",
      "| ---: |\n";

for (@gateways) {
    my ($name, $port) = @$_;

    most($_) for @ports;

    my $m = measured($port, 2 * $capacity, $seconds);
    my ($most) = sort { $b <=> $a } map { most($_) } @ports;

    my %sum;
    my %all;

    for my $class (0, 1) {
        for my $status (keys %{ $m->{$class} }) {
            $sum{$status} += $m->{$class}{$status}{number};
            $all{$class} += $m->{$class}{$status}{number};
        }
    }

    my ($upper, $lower) = map { $m->{$_}{200} || { number => 0, p50 => 0,
                                                   p99 => 0 } } 1, 0;

    printf "| %s | %.0f | %.1f %% | %.1f | %.1f | %.1f | %.1f | %.1f | %.0f "
           . "| %.0f | %d |\n",
           $name, ($sum{200} || 0) / $seconds,
           100 * ($sum{200} || 0) / $seconds / $capacity,
           100 * $upper->{number} / $all{1}, $upper->{p50}, $upper->{p99},
           100 * $lower->{number} / $all{0}, $lower->{p99},
           ($sum{503} || 0) / $seconds, ($sum{502} || 0) / $seconds, $most;

    if ($name eq 'lb_queue, max_conns') {
        my @wrong;

        push @wrong, 'less than 95 % of the capacity is used'
            if $sum{200} / $seconds < 0.95 * $capacity;
        push @wrong, 'the upper class takes more than twice its time'
            if $upper->{p99} > 2 * $unloaded->{p99};
        push @wrong, 'max_conns is exceeded' if $most > $places;
        push @wrong, 'there are 502' if $sum{502};

        $failed = @wrong;
        print STDERR "$name: $_\n" for @wrong;
    }
}

exit($failed ? 1 : 0);


# { class => { status => { number, p50, p99 } } }

sub measured {
    my ($port, $rate, $time) = @_;
    my %result;

    for (`$program load $port $rate $time`) {
        my ($class, $status, $number, $p50, $p99) = split;

        $result{$class}{$status} = { number => $number, p50 => $p50,
                                     p99 => $p99 };
    }

    return \%result;
}


# The most requests at a time that a server had since it was asked last.

sub most {
    my ($port) = @_;
    my $sock = IO::Socket::INET->new("127.0.0.1:$port")
        or die "server $port: $!\n";

    print $sock "GET /most HTTP/1.1\r\n\r\n";
    sysread $sock, my $answer, 1024 or die "server $port: no answer\n";

    return $answer =~ /\n(\d+) \d+\n$/ ? $1 : die "server $port: $answer\n";
}


sub haproxy {
    my ($binary) = grep { -x } qw(/usr/sbin/haproxy /usr/bin/haproxy);

    return () unless $binary;

    my $port = free_port();
    my $number = 0;
    my $backends = join "\n", map {
        $number++;
        "    server s$number 127.0.0.1:$_ maxconn $places"
    } @ports;

    open my $conf, '>', "$dir/haproxy.cfg" or die "$dir/haproxy.cfg: $!\n";
    print $conf <<"EOF";
global
    nbthread $workers
    maxconn 4000
defaults
    mode http
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout queue 1s
    http-reuse always
frontend f
    bind 127.0.0.1:$port
    http-request set-priority-class int(-9) if { req.hdr(X-Class) 1 }
    default_backend b
backend b
    balance leastconn
$backends
EOF
    close $conf;

    return [ 'HAProxy, maxconn' =>
             child($port, $binary, '-db', '-f', "$dir/haproxy.cfg") ];
}
