#!/usr/bin/env perl

# How much of one limit three gateways admit together, while a client asks
# for more: evenly, nearly all of it on one of them, and on another one each
# second.  Fails above the limit, or below 95 % of what it allows in the time
# in which wrk asks.
#
# How: three nginx on a redis-server of our own; wrk asks, and the metrics
# say how many were admitted between the first request and the last answer.
#
# Environment: NGINX_BIN and MODULES (paths), SECS (of each mix, 30), CASES
# ("CAPACITY,RATE ...").

use v5.28;
use warnings;

use FindBin;
use POSIX ();
use Time::HiRes qw(sleep time);

BEGIN {
    $ENV{TEST_NGINX_BINARY} //= $ENV{NGINX_BIN} if $ENV{NGINX_BIN};
    $ENV{TEST_NGINX_LOAD_MODULES} //= $ENV{MODULES} if $ENV{MODULES};
}

use lib "$FindBin::Bin/../t/lib";
use Gateway;

use constant LEAST => 95;

my $secs = $ENV{SECS} || 30;
my @cases = map { [split /,/] }
    split ' ', $ENV{CASES} || '100,10 100,1000 1000,1000 10000,5000 100,5000';
my ($redis) = redis();
my $missed = 0;

$| = 1;

print "### One limit for three gateways\n\n"
    . "wrk, $secs s each\n\n"
    . "| capacity | r/s | mix | admitted | at most | % |\n"
    . "| ---: | ---: | --- | ---: | ---: | ---: |\n";

for my $case (@cases) {
    my ($capacity, $rate) = @$case;
    my @g = map { node($_, $capacity, $rate) } 1 .. 3;

    wait_for(sub { !grep { nodes($_) != 3 } @g }, 20)
        or die "the gateways do not know each other\n";

    for my $mix (qw(even uneven moving)) {
        my $before = passed(@g);
        my $begin = time;
        ask($mix, $rate, @g);
        my $most = $capacity + $rate * (time() - $begin);
        my $n = passed(@g) - $before;

        printf "| %d | %d | %s | %d | %.0f | %.1f |\n", $capacity, $rate,
            $mix, $n, $most, 100 * $n / $most;

        $missed ||= $n > $most || 100 * $n < LEAST * $most;
    }

    $_->quit for @g;
}

print "\n";
print "missed: above the limit, or less than ${\LEAST} % of it\n" if $missed;

exit !!$missed;


sub node {
    my ($n, $capacity, $rate) = @_;
    my $url = $redis->url;

    return gateway(<<"END", log_level => 'notice');
    tbucket_zone \$http_x_api_key zone=g:2m rate=${rate}r/s
                 capacity=$capacity scope=global;
    tbucket_store $url node=n$n prefix=b$capacity-$rate;
    tbucket_log_level info;
    access_log off;
    server {
        listen 127.0.0.1:%%PORT%%;
        location / { tbucket zone=g; empty_gif; }
        location /metrics { tbucket_metrics; }
    }
END
}


sub nodes {
    my ($g) = @_;
    my $body = get($g, '/metrics')->{body} // '';

    return $body =~ /^tbucket_lease_nodes\{zone="g"\} (\d+)$/m ? $1 : 0;
}


sub passed {
    my $n = 0;

    for my $g (@_) {
        get($g, '/metrics')->{body}
            =~ /^tbucket_requests_total\{zone="g",result="passed"\} (\d+)/m
            or die "no metrics\n";
        $n += $1;
    }

    return $n;
}


# Returns when the last answer has come.

sub ask {
    my ($mix, $rate, @g) = @_;

    if ($mix eq 'moving') {
        wrk($g[$_ % 3], $mix, 1, 8) for 0 .. $secs - 1;
        return;
    }

    my @pids = map {
        my $i = $_;
        my $pid = fork() // die "fork: $!";

        if ($pid == 0) {
            if ($mix eq 'even' || $i == 0) { wrk($g[$i], $mix, $secs, 6) }
            else { trickle($g[$i], $mix, $rate / 10) }
            POSIX::_exit(0);
        }

        $pid;
    } 0 .. 2;

    waitpid $_, 0 for @pids;
}


sub wrk {
    my ($g, $key, $seconds, $connections) = @_;
    my $url = 'http://127.0.0.1:' . $g->port . '/';

    system("wrk -t1 -c$connections -d${seconds}s -H 'X-Api-Key: $key' $url"
           . ' >/dev/null') == 0
        or warn "wrk has failed\n";
}


sub trickle {
    my ($g, $key, $rate) = @_;
    my $begin = time;

    for (my $n = 1; time() < $begin + $secs; $n++) {
        get($g, '/', headers => { 'X-Api-Key' => $key });
        my $ahead = $begin + $n / $rate - time();
        sleep $ahead if $ahead > 0;
    }
}
