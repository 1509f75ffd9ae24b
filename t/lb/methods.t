# How servers are chosen on a real nginx: every method under load, hashing,
# slow start, ejection, panic.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;
use Time::HiRes qw(time);

my @methods = ('round_robin', 'least_conn', 'random', 'p2c', 'least_time',
               'hash $uri', 'random two', 'least_time last_byte inflight',
               'hash $uri consistent');


sub front
{
    my (@upstreams) = @_;

    my $locations = join '', map {
        "location /$_/ { proxy_pass http://$_; proxy_next_upstream_tries 0; "
        . 'proxy_next_upstream error timeout non_idempotent; } '
    } @upstreams;

    return "server { listen 127.0.0.1:%%PORT%%;\n"
           . "add_header X-Lb \"\$lb_server \$lb_tries \$lb_method\" always;\n"
           . "$locations }\n";
}


# how many of the requests each backend has answered

sub shares
{
    my ($g, $path, %o) = @_;

    my %n;
    my $i = 0;

    my $l = load($g, sub { "/$path/" . $i++ }, connections => 16,
                 requests => 1000, %o, each => sub {
                     my ($r) = @_;
                     $n{ ($r->{body} // '') =~ /"backend":"(\w+)"/
                         ? $1 : $r->{code} }++;
                 });

    return \%n;
}


subtest 'every method keeps to weights, and no client sees a dead server' =>
sub {
    my @u = map { "u$_" } 0 .. $#methods;

    # one process is all backends, so that none is slower than the others

    my $answers = sub {
        return join '', map {
            "server { listen 127.0.0.1:%%PORT_$_%%; "
            . "return 200 '{\"backend\":\"$_\"}'; }\n" } @_;
    };

    my $back = gateway($answers->(qw(a b c)), connections => 512);
    my %at = map { $_ => 'server 127.0.0.1:' . $back->port($_) } qw(a b c);

    my $g = gateway(join('', map {
            "upstream $u[$_] { lb $methods[$_]; "
            . "$at{a} weight=5; $at{b} weight=3; $at{c}; }\n" }
            0 .. $#methods) . front(@u),
        workers => 2);

    for my $k (0 .. $#methods) {
        my ($name) = $methods[$k] =~ /^(random two|\w+)/;
        my $n = shares($g, $u[$k], requests => 1800);

        # four standard deviations of a random choice; two different servers
        # take from the largest, and least_time minds more

        my $off = $name eq 'least_time' ? 500
                  : $name =~ /two|p2c/ ? 150 : 90;

        ok(abs($n->{a} - 1000) < $off && abs($n->{b} - 600) < $off
           && abs($n->{c} - 200) < $off, "$name: 5:3:1")
            or diag(explain($n));

        like(get($g, "/$u[$k]/")->{headers}{'x-lb'},
             qr/^127\.0\.0\.1:\d+ 1 $name$/, "$name: by name");
    }

    ok($back->reload($answers->(qw(a c))), 'the second server is gone');

    for my $k (0 .. $#methods) {
        my $n = shares($g, $u[$k], requests => 300);

        is($n->{a} + $n->{c}, 300, "$methods[$k]: all requests answered")
            or diag(explain($n));
    }
};


subtest 'least_time avoids a slow server, and least_conn a busy one' => sub {
    my @b = map { backend(name => $_) } qw(a b c);

    $_->behave(delay => 0.005) for @b[0, 1];
    $b[2]->behave(delay => 0.05);

    my $servers = join ' ', map { $_->server } @b;
    my $g = gateway(<<"END" . front('t', 'l'), workers => 2);
upstream t { lb least_time; $servers }
upstream l { lb least_conn; $servers }
END

    # long enough for what it gets before it has answered once not to matter;
    # a machine that holds up the fast ones as well is given other chances

    my $n;
    for my $try (1 .. 5) {
        $n = shares($g, 't', requests => 4500);
        last if ($n->{c} // 0) < 0.15 * 1500;
        $b[2]->behave(delay => 0.05 * ($try + 1));
    }
    cmp_ok($n->{c} // 0, '<', 0.15 * 1500, 'less than 15 % of its share')
        or diag(explain($n));

    for my $try (1 .. 5) {
        $n = shares($g, 'l', requests => 900);
        last if ($n->{c} // 0) < 0.5 * 300;
        $b[2]->behave(delay => 0.05 * ($try + 3));
    }
    cmp_ok($n->{c} // 0, '<', 0.5 * 300, 'less than half of its share')
        or diag(explain($n));
};


subtest 'least_time counts the whole response if it is to' => sub {

    # the header of "slow" comes at once, the rest of it half a second later

    my $back = gateway(<<"END");
server { listen 127.0.0.1:%%PORT_slow%%; limit_rate 1k;
         return 200 "@{['x' x 1500]}"; }
server { listen 127.0.0.1:%%PORT_fast%%; return 200 '"fast"'; }
END
    my $servers = join ' ', map { 'server 127.0.0.1:' . $back->port($_) . ';' }
        qw(slow fast);
    my $g = gateway("upstream t { lb least_time last_byte; $servers }\n"
                    . front('t'));

    my %n;

    # a machine that is busy elsewhere makes the fast one slow for moments

    for my $try (1 .. 3) {
        %n = ();
        $n{ get($g, '/t/')->{body} =~ /"fast"/ ? 'fast' : 'slow' }++
            for 1 .. 40;
        last if ($n{slow} // 0) <= 3;
    }

    cmp_ok($n{slow} // 0, '<=', 3, 'who ends late gets little')
        or diag(explain(\%n));
};


subtest 'hash ketama: a key is where nginx has it' => sub {
    my @b = map { backend(name => $_) } qw(a b c d e);
    my $servers = join ' ', $b[0]->server('weight=3'), $b[1]->server('down'),
        $b[2]->server, $b[3]->server('weight=2');
    my $backup = $b[4]->server('backup');

    my $g = gateway("upstream k { lb hash \$arg_k ketama; $servers $backup }\n"
                    . "upstream n { hash \$arg_k consistent; $servers }\n"
                    . front('k', 'n'), workers => 2);

    my $at = sub {
        my ($path, $key) = @_;
        return get($g, "/$path/?k=$key")->{body} =~ /"backend":"(\w+)"/
               ? $1 : '-';
    };

    my (%n, @other);
    for my $key (1 .. 200) {
        my $to = $at->('n', $key);
        $n{$to}++;
        push @other, $key if $at->('k', $key) ne $to;
    }

    is("@other", '', 'all of 200 keys');
    is(join('', sort keys %n), 'acd', 'at servers that are not down');

    like(get($g, '/k/?k=1')->{headers}{'x-lb'}, qr/ 1 hash ketama$/,
         'by name');

    my %round = map { $at->('k', '') => 1 } 1 .. 12;
    is(join('', sort keys %round), 'acd', 'without a key: in turns');
};


subtest 'ip_hash: an IPv4 address by its /24' => sub {
    my @b = map { backend(name => $_) } qw(a b c d);
    my $g = gateway('set_real_ip_from 127.0.0.1; real_ip_header X-Real-IP; '
                    . join('', map { "upstream $_->[0] { $_->[1]; "
                                     . join(' ', map { $_->server } @b)
                                     . " }\n" }
                               ['i', 'lb ip_hash'], ['n', 'ip_hash'])
                    . front('i', 'n'));

    my $to = sub {
        return get($g, '/' . ($_[1] // 'i') . '/',
                   headers => { 'X-Real-IP' => $_[0] })->{body}
               =~ /"backend":"(\w+)"/ ? $1 : '-';
    };

    my %same = map { $to->("10.1.2.$_") => 1 } 1 .. 20;
    is(scalar keys %same, 1, 'one server for a /24');

    my %all = map { $to->("10.1.$_.1") => 1 } 1 .. 60;
    is(join('', sort keys %all), 'abcd', 'all for many of them');

    %same = map { $to->('2001:db8::1') => 1 } 1 .. 5;
    is(scalar keys %same, 1, 'one for an IPv6 address');

    %all = map { $to->("2001:db8::$_") => 1 } 1 .. 60;
    is(join('', sort keys %all), 'abcd', 'others for others of its /64');

    my @address = map { ("10.$_.3.4", "2001:db8:$_\::1") } 1 .. 40;
    is(join('', map { $to->($_) } @address),
       join('', map { $to->($_, 'n') } @address), "nginx's own has the same");
};


subtest 'least_time does not take failures for speed' => sub {
    my @b = map { backend(name => $_) } qw(a b c);

    $_->behave(delay => 0.005) for @b[0, 1];
    $b[2]->behave(status => 500, body => '"backend":"c"');

    my $g = gateway('upstream t { lb least_time; '
                    . join(' ', map { $_->server } @b) . " }\n" . front('t'));

    my $n = shares($g, 't', requests => 600);
    cmp_ok($n->{c} // 0, '<', 60, 'who answers 500 at once gets little')
        or diag(explain($n));
};


subtest 'hash: a key stays, and only those of a dead server move' => sub {
    my @b = map { backend(name => $_) } qw(a b c d);
    my $g = gateway('upstream h { lb hash $arg_k; '
                    . join(' ', map { $_->server } @b) . " }\n" . front('h'),
                    workers => 2);

    my $map = sub {
        return [ map { get($g, "/h/?k=$_")->{body} =~ /"backend":"(\w+)"/
                       ? $1 : '-' } 1 .. 120 ];
    };

    my $first = $map->();
    is_deeply($map->(), $first, 'the same each time');

    my %n;
    $n{$_}++ for @$first;
    is(join('', sort keys %n), 'abcd', 'all servers have keys');

    $g->reload;
    is_deeply($map->(), $first, 'and after a reload');

    my @round = map { get($g, '/h/')->{body} =~ /"backend":"(\w+)"/ } 1 .. 8;
    is_deeply([@round[4 .. 7]], [@round[0 .. 3]], 'without a key: in turns');
    is(join('', sort @round), 'aabbccdd', 'all of them');

    $b[2]->kill;
    my $second = $map->();
    is_deeply([ map { $first->[$_] eq 'c' ? $second->[$_] ne 'c'
                      : $second->[$_] eq $first->[$_] } 0 .. 119 ],
              [ (1) x 120 ], 'keys of others stay');
};


subtest 'lb_outlier ejects who answers 5xx, and lets it in again' => sub {
    my @b = map { backend(name => $_) } qw(a b c);
    my $g = gateway(
        'upstream o { lb round_robin; '
        . 'lb_outlier errors=5 window=10s ejection=1s max_ejected=34%; '
        . join(' ', map { $_->server } @b) . " }\n" . front('o'),
        workers => 2);

    $b[0]->behave(status => 500, body => '"backend":"a"');

    my $l = load($g, '/o/', requests => 60, connections => 1);
    is($l->{codes}{500}, 5, 'five errors are enough');

    my $line = $g->wait_log(qr/is ejected/);
    my $address = $b[0]->address;
    like($line, qr/\[error\].* lb: server \Q$address\E in upstream "o" is ejected: status 500, 5 errors; 2 of 3 servers left$/m,
         'the log says why and what is left');

    # no second one may be out

    $b[1]->behave(status => 503, body => '"backend":"b"');
    $l = load($g, '/o/', requests => 40, connections => 4);
    ok($l->{codes}{503} > 10, 'never more are out than allowed');
    $b[1]->behave;

    like($g->wait_log(qr/ejection is over/),
         qr/\[notice\].* lb: server \Q$address\E in upstream "o" is up: its ejection is over; 3 of 3 servers left$/m,
         'and when it is back');

    $b[0]->behave;
    my $n = shares($g, 'o', requests => 300, connections => 1);
    ok($n->{a} > 80, 'it gets requests again') or diag(explain($n));
};


subtest 'failed attempts are errors for lb_outlier, too' => sub {
    my @b = map { backend(name => $_) } qw(a b);
    my $g = gateway(
        'upstream o { lb round_robin; lb_outlier errors=3 ejection=1m; '
        . $b[0]->server('max_fails=0') . $b[1]->server . " }\n"
        . front('o'));

    $b[0]->kill;

    my $l = load($g, '/o/', requests => 50, connections => 1);
    is($l->{codes}{200}, 50, 'no client sees them');
    like($g->wait_log(qr/is ejected/),
         qr/is ejected: connect\(\) failed \(111: Connection refused\), 3 errors; 1 of 2 servers left/,
         'the reason is that of the last attempt');
};


subtest 'lb_slow_start: a server that is back gets more and more' => sub {
    my @b = map { backend(name => $_) } qw(a b);
    my $g = gateway(
        'upstream s { lb round_robin; lb_slow_start 4s; '
        . 'lb_outlier errors=1 ejection=300ms; '
        . join(' ', map { $_->server } @b) . " }\n" . front('s'));

    is(shares($g, 's', requests => 100, connections => 1)->{a}, 50,
       'none at the start of nginx');

    $b[0]->behave(status => 500);
    load($g, '/s/', requests => 4);
    $g->wait_log(qr/is ejected/);
    $b[0]->behave;
    ok($g->wait_log(qr/ejection is over/), 'it is back');

    my $begin = time();
    my $early = shares($g, 's', requests => 200, connections => 1)->{a} // 0;
    my $took = time() - $begin;

    SKIP: {
        skip('machine is too slow', 1) if $took > 1.5;
        cmp_ok($early, '<', 60, 'few requests at first');
    }

    my $full = wait_for(sub {
        my $n = shares($g, 's', requests => 100, connections => 1);
        return ($n->{a} // 0) == 50;
    }, 10);

    ok($full, 'its whole share in the end');
    cmp_ok(time() - $begin, '>', 2, 'not at once');
};


subtest 'lb_panic: with few servers left all are used' => sub {
    my @b = map { backend(name => $_) } qw(a b c d);
    my $g = gateway(
        'upstream p { lb random; lb_panic 50; '
        . 'lb_outlier errors=1 ejection=1s max_ejected=100%; '
        . join(' ', map { $_->server } @b) . " }\n" . front('p'),
        workers => 2);

    $b[$_]->behave(status => 500, body => qq("backend":"$b[$_]{name}"))
        for 0 .. 2;

    my $l = load($g, '/p/', requests => 100, connections => 1);
    ok($g->wait_log(qr/\[error\].* lb: upstream "p" panics and uses all servers: fewer than 50% usable; 1 of 4 servers left$/m),
       'it is logged');

    $b[$_]->behave for 0 .. 2;

    ok($g->wait_log(qr/\[notice\].* lb: upstream "p" panics no more: 50% or more are usable; \d of 4 servers left$/m),
       'and its end');

    my $lines = () = $g->log =~ /panics/g;
    is($lines, 2, 'once each');
};


done_testing();
