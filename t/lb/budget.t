# lb_retry_budget: how many retries a storm of failures makes.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;

# every third request goes to a server that refuses the connection

my @b = map { backend(name => $_) } qw(a b);
my $dead = 'server 127.0.0.1:' . free_port() . ' max_fails=0;';
my $servers = join ' ', $dead, map { $_->server('max_fails=0') } @b;

sub front
{
    my ($budget) = @_;

    return gateway(<<"END", workers => 2);
upstream u { lb round_robin; $budget $servers }
server { listen 127.0.0.1:%%PORT%%;
         location /metrics { lb_metrics; }
         location / { proxy_pass http://u;
                      add_header X-Tries \$lb_tries always; } }
END
}


# requests, of them failed, and attempts

sub storm
{
    my ($g, $requests) = @_;

    my ($failed, $attempts) = (0, 0);

    load($g, '/', connections => 8, requests => $requests, each => sub {
        my ($r) = @_;
        $failed += $r->{code} == 502;
        $attempts += $r->{headers}{'x-tries'} // 0;
    });

    return ($failed, $attempts);
}


sub metric
{
    my ($g, $name) = @_;

    return get($g, '/metrics')->{body} =~ /^$name\{upstream="u"\} (\d+)/m
           ? $1 : undef;
}


subtest 'without a budget each failure is tried again' => sub {
    my $g = front('');
    my ($failed, $attempts) = storm($g, 600);

    is($failed, 0, 'nobody sees a failure');
    cmp_ok($attempts, '>=', 790, 'for a third of all requests more');
    is(metric($g, 'lb_retries_denied_total'), 0, 'none is denied');
};


subtest 'retries are at most the share of requests' => sub {
    my $g = front('lb_retry_budget 10%;');
    my ($failed, $attempts) = storm($g, 600);

    cmp_ok($attempts, '<=', 660, 'attempts')
        or diag("$failed failed, $attempts attempts");
    cmp_ok($attempts, '>=', 640, 'and it is used');
    cmp_ok($failed, '>=', 130, 'beyond it the failure is final');

    is(metric($g, 'lb_retries_total'), $attempts - 600, 'counted');
    is(metric($g, 'lb_retries_denied_total'), $failed, 'and those denied');

    like($g->log, qr/\[warn\] .*lb: retries of upstream "u" are more than its/,
         'and told of in the log');
};


subtest 'a server that resets each connection' => sub {
    my $sick = backend(answer => sub { { action => 'reset' } });
    my $lines = join ' ', map { $_->server('max_fails=0') } $sick, @b;

    for my $budget ('', 'lb_retry_budget 10%;') {
        my $g = gateway(<<"END", workers => 2);
upstream u { lb round_robin; $budget $lines }
server { listen 127.0.0.1:%%PORT%%;
         location / { proxy_pass http://u;
                      add_header X-Tries \$lb_tries always; } }
END
        my ($failed, $attempts) = storm($g, 6000);

        if ($budget) {
            cmp_ok($attempts, '<=', 6600, "$budget attempts")
                or diag("$failed failed, $attempts attempts");
            cmp_ok($failed, '>=', 1300, 'the others are final');
        } else {
            cmp_ok($attempts, '>=', 7990, 'without one they are what they are');
            is($failed, 0, 'and nobody sees a failure');
        }
        $g->quit;
    }
};


subtest 'so many a second are allowed in any case' => sub {
    my $g = front('lb_retry_budget 0 min=5/s window=60s;');
    my ($failed, $attempts) = storm($g, 1200);

    is($attempts, 1500, '300 in a minute');
    cmp_ok($failed, '>', 0, 'and no more');
};


subtest 'a response that could be better is passed on at the end' => sub {
    $_->behave(status => 503, body => 'busy') for @b;

    my $g = gateway(<<"END");
upstream u { lb round_robin; lb_retry_budget 0; $servers }
server { listen 127.0.0.1:%%PORT%%;
         location / { proxy_pass http://u;
                      proxy_next_upstream error http_503; } }
END

    my %body;
    $body{ get($g, '/')->{body} }++ for 1 .. 9;
    is($body{busy}, 6, 'with its own body');

    $_->behave for @b;
};


done_testing();
