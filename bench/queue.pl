#!/usr/bin/env perl

# A queue under overload: three servers with room for 8 requests each, which
# take 20 ms, are asked by twice as many requests as they have places for, half
# of them of an upper class.  Who waits in what order, who is refused, and how
# many requests are served: nginx alone (max_conns), HAProxy (maxconn, priority
# classes, timeout queue) where it is installed, and the balancer with lb_queue,
# with max_conns and with a limit that finds itself.
#
# And a server with 8 cores, of which the gateway knows nothing, that takes five
# times as long for a third of the time: what limit=auto makes of it.
#
# And 10,000 requests that wait, and leave: how long a pass of the event loop
# takes then.
#
# How: both ends are lib/overload.c, whose servers count what they have at a
# time, and whose clients come at random and do not wait for each other.  The
# gateways are asked one after the other.  Without load an answer takes what
# a tenth of the capacity gets, of the balancer.
#
# Environment: NGINX_BIN and MODULES (paths), SECONDS (of each gateway),
# WORKERS, ONLY (an expression: of the gateways of the first table).

use strict;
use warnings;

use File::Temp qw(tempdir);
use FindBin qw($Bin);
use IO::Socket::INET;
use lib "$Bin/lib";
use Bench qw(child free_port gateway module passes watched);
use Time::HiRes qw(sleep);

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
child($ports[-1], $program, 'serve', $work, 0, @ports);

my $lines = join "\n", map { "server 127.0.0.1:$_ max_conns=$places;" } @ports;
my $map = 'map $http_x_class $priority { 1 9; default 0; }';
my $queue = 'lb_queue u size=2000 timeout=500ms priority=$priority';
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

    next if $ENV{ONLY} && $name !~ /$ENV{ONLY}/;

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

slower();
many();

exit($failed ? 1 : 0);


# The limit that finds itself while a server gets slower, and is as before.

sub slower {
    my $cores = 8;
    my $third = $seconds / 3;
    my $server = free_port();
    my $metrics = free_port();
    my $port = gateway(@lb,
        http => "$map\nserver { listen 127.0.0.1:$metrics; "
              . 'location / { lb_metrics; } }',
        location => "$queue limit=auto;",
        upstream => "lb least_conn;\nserver 127.0.0.1:$server;")->{port};

    child($server, $program, 'serve', $work, $cores, $server);

    print "\n### A server that gets slower\n\n",
          "One server that does $cores requests at a time, asked by twice as ",
          "many as it can do,\nof $third s each; limit=auto.\n\n",
          "| work, ms | served/s | of capacity | upper: p99, ms ",
          "| limit after 3 s | after ", sprintf('%.0f', $third),
          " s |\n| ---: | ---: | ---: | ---: | ---: | ---: |\n";

    for my $ms ($work, 5 * $work, $work) {
        my $can = $cores * 1000 / $ms;
        my @limits;

        ask($server, "/work/$ms");

        my $pid = open my $from, '-|', $program, 'load', $port, 2 * $can,
                       $third
            or die "$program: $!\n";

        for my $after (3, $third - 3) {
            sleep $after;
            push @limits, ask($metrics, '/') =~ /^lb_queue_limit\S* (\d+)/m;
        }

        my $m = parsed(<$from>);
        my $served = ($m->{0}{200}{number} || 0) + ($m->{1}{200}{number} || 0);

        printf "| %d | %.0f | %.1f %% | %.1f | %d | %d |\n", $ms,
               $served / $third, 100 * $served / $third / $can,
               $m->{1}{200}{p99} || 0, @limits;

        if ($served / $third < 0.9 * $can) {
            print STDERR "limit=auto: less than 90 % of what is possible\n";
            $failed++;
        }
    }
}


# Requests that come faster than connections can be served, none of which has
# to give way; in the end their clients go away.

sub many {
    my $metrics = free_port();
    my $self = watched(sub {
        gateway(@lb, workers => 0,
            http => "$map\nserver { listen 127.0.0.1:$metrics; "
                  . 'location / { lb_metrics; } }',
            location => 'lb_queue u size=15000 timeout=1m '
                      . 'priority=$priority;',
            upstream => "lb least_conn;\n$lines");
    });

    passes($self);

    my $most = 0;
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        open STDOUT, '>', '/dev/null';
        exec 'sh', '-c', 'ulimit -n "$(ulimit -H -n)"; exec "$@"', 'sh',
            $program, 'load', $self->{port}, 5000, 3;
        exit 1;
    }

    for (1 .. 10) {
        sleep 0.4;
        my ($now) = ask($metrics, '/') =~ /^lb_queued\S* (\d+)/m;
        $most = $now if $now > $most;
    }

    my ($longest, $sum, $number) = passes($self);
    waitpid $pid, 0;
    my ($leaving) = passes($self);
    my ($left) = ask($metrics, '/') =~ /^lb_queued\S* (\d+)/m;

    print "\n### Many that wait\n\n",
          "| waiting at most | mean pass, ms | longest | longest as they leave ",
          "| waiting then |\n| ---: | ---: | ---: | ---: | ---: |\n";
    printf "| %d | %.3f | %.2f | %.2f | %d |\n", $most, $sum / $number,
           $longest, $leaving, $left;
}


# { class => { status => { number, p50, p99 } } }

sub measured {
    my ($port, $rate, $time) = @_;

    return parsed(`$program load $port $rate $time`);
}


sub parsed {
    my %result;

    for (@_) {
        my ($class, $status, $number, $p50, $p99) = split;

        $result{$class}{$status} = { number => $number, p50 => $p50,
                                     p99 => $p99 };
    }

    return \%result;
}


# The most requests at a time that a server had since it was asked last.

sub most {
    my ($port) = @_;

    return ask($port, '/most') =~ /\n(\d+) \d+\n$/ ? $1
                                                    : die "server $port\n";
}


# What a server answers, as far as it comes at once.

sub ask {
    my ($port, $uri) = @_;
    my $sock = IO::Socket::INET->new("127.0.0.1:$port")
        or die "server $port: $!\n";

    print $sock "GET $uri HTTP/1.1\r\nHost: a\r\n\r\n";
    sysread $sock, my $answer, 65536 or die "server $port: no answer\n";

    return $answer;
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
    timeout queue 500ms
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
