# quota=N/hour|day|week|month: N in each window of the calendar, whatever the
# clock and those who set it do.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use Gateway;
use Test::More;
use Time::HiRes qw(time);
use Time::Local qw(timegm);

# what comes before nginx in a sanitizer's run excludes it

plan skip_all => 'the clock of this nginx cannot be faked'
    if ($ENV{TEST_NGINX_BINARY} // '') =~ /asan/;

my ($lib) = glob('/usr/lib/*/faketime/libfaketime.so.1');
BAIL_OUT('libfaketime is not installed') unless $lib;

my $file = temp_dir() . '/time';


# Sets the clock of nginx, which goes on from there.

sub clock
{
    my ($y, $m, $d, $h, $min, $s) = $_[0] =~ /\d+/g;
    my $ahead = timegm($s, $min, $h, $d, $m - 1, $y) - time();

    open(my $out, '>', "$file.new") or die "$file.new: $!";
    printf $out "%+.3f\n", $ahead;
    close($out);
    rename("$file.new", $file) or die "$file: $!";
}


# The machine stands still, or its clock is set: that is another time.

sub start
{
    my ($http, %o) = @_;
    my %env = (LD_PRELOAD => $lib, FAKETIME_NO_CACHE => 1,
               FAKETIME_TIMESTAMP_FILE => $file,
               $o{set} ? (FAKETIME_DONT_FAKE_MONOTONIC => 1,
                          DONT_FAKE_MONOTONIC => 1) : ());

    clock($o{at});

    return gateway(config($http), workers => 2, log_level => 'notice',
                   env => \%env,
                   main => join("\n", map { "env $_;" } keys %env));
}


sub config
{
    return <<"END";
    $_[0]
    server {
        listen 127.0.0.1:%%PORT%%;
        root %%DIR%%/html;
        access_log off;
        tbucket_log_level info;
        keepalive_requests 1000000;
        tbucket zone=z cost=\$arg_cost;
        location / { try_files /none \@ok; }
        location /vars {
            try_files /none \@vars;
        }
        location /legacy { tbucket_headers legacy; try_files /none \@ok; }
        location \@vars { return 200 "\$tbucket_status \$tbucket_limit \$tbucket_remaining \$tbucket_reset \$tbucket_retry_after"; }
        location \@ok { return 204; }
    }
END
}


my $key = 'a';

sub ask
{
    my ($g, $uri, $code, $headers, $title) = @_;
    my $r = get($g, "$uri" . ($uri =~ /\?/ ? '&' : '?') . "key=$key");

    is($r->{code}, $code, "$title: $code");

    for (sort keys %$headers) {
        my ($is, $want) = ($r->{headers}{$_} // '', $headers->{$_});
        ref $want ? like($is, $want, "$title: $_") : is($is, $want, "$title: $_");
    }

    return $r;
}


# Uses a quota of 3 up, two seconds before a boundary, then crosses that.

sub crossed
{
    my ($zone, $window, $at, $next, $following) = @_;
    my $title = "$zone at $next";

    my $g = start("tbucket_zone \$arg_key zone=z:1m quota=3/$zone;",
                  at => $at);

    ask($g, '/?cost=0.5', 204,
        { 'ratelimit-policy' => qq("z";q=3;w=$window),
          ratelimit => qr/^"z";r=2;t=[12]$/ }, $title);
    ask($g, '/?cost=2.5', 204, { ratelimit => qr/^"z";r=0;t=[12]$/ }, $title);
    ask($g, '/', 429, { 'retry-after' => qr/^[12]$/,
                        ratelimit => qr/^"z";r=0;t=[12]$/ }, $title);
    ask($g, '/?cost=4', 429, { 'retry-after' => '', ratelimit => '"z";r=0' },
        "$title, for more than there ever is");

    ok(wait_for(sub { get($g, "/?key=$key")->{code} == 204 }, 10),
       "$title: the next window is full");
    ask($g, '/', 204, { 'ratelimit-policy' => qq("z";q=3;w=$following),
                        ratelimit => qr/^"z";r=1;t=\d+$/ }, $title);
    ask($g, '/', 204, { ratelimit => qr/^"z";r=0;t=\d+$/ }, $title);
    ask($g, '/', 429, {}, $title);

    clock($next);
    ask($g, '/', 429, {}, "$title, at its begin again");

    is($g->quit, 0, 'nginx stops');
}


my @hours = (3600, 3600);
my $berlin = 'tz=Europe/Berlin';

crossed('hour', 3600, '2027-01-01 11:59:58', '2027-01-01 12:00:00', 3600);
crossed('day', 86400, '2027-01-01 23:59:58', '2027-01-02 00:00:00', 86400);
crossed('week', 604800, '2027-01-03 23:59:58', '2027-01-04 00:00:00', 604800);
crossed('month', 2505600, '2028-02-29 23:59:58', '2028-03-01 00:00:00',
        2678400);

# the night in which summer time begins, and that in which it ends

crossed("day $berlin", 86400, '2027-03-27 22:59:58', '2027-03-27 23:00:00',
        82800);
crossed("day $berlin", 82800, '2027-03-28 21:59:58', '2027-03-28 22:00:00',
        86400);
crossed("hour $berlin", 3600, '2027-03-28 00:59:58', '2027-03-28 01:00:00',
        3600);
crossed("week $berlin", 601200, '2027-03-28 21:59:58', '2027-03-28 22:00:00',
        604800);
crossed("day $berlin", 90000, '2027-10-31 22:59:58', '2027-10-31 23:00:00',
        86400);
crossed("hour $berlin", 3600, '2027-10-31 00:59:58', '2027-10-31 01:00:00',
        3600);
crossed("month $berlin", 2682000, '2027-10-31 22:59:58',
        '2027-10-31 23:00:00', 2592000);


subtest 'a clock that is set' => sub {
    my $g = start('tbucket_zone $arg_key zone=z:1m quota=3/day;', set => 1,
                  at => '2027-05-05 12:00:00');

    ask($g, '/', 204, { ratelimit => qr/^"z";r=$_;t=4(?:3200|319\d)$/ },
        'noon') for 2, 1, 0;
    ask($g, '/', 429, {}, 'no more');

    for ('2027-05-05 00:00:01', '2027-05-04 12:00:00', '2027-05-05 23:59:50') {
        clock($_);
        ask($g, '/', 429, {}, "clock set to $_");
    }

    clock('2027-05-06 01:00:00');
    # a worker that has not looked yet has a clock that is a moment behind

    ask($g, '/', 204, { ratelimit => qr/^"z";r=2;t=82(?:80[01]|79\d)$/ },
        'the next day');

    clock('2027-05-05 23:00:00');
    ask($g, '/', 204, { ratelimit => qr/^"z";r=1;t=(?:9000[01]|8999\d)$/ },
        'the day before is over, and its quota gone');

    clock('2027-05-06 00:00:10');
    ask($g, '/', 204, { ratelimit => qr/^"z";r=0;t=863\d\d$/ },
        'the same window again');
    ask($g, '/', 429, { 'retry-after' => qr/^863\d\d$/ }, 'and no more');

    clock('2030-01-01 00:00:05');
    ask($g, '/', 204, { ratelimit => qr/^"z";r=2;t=8639\d$/ },
        'years later');
};


subtest 'all workers turn at the same moment' => sub {
    my $g = start('tbucket_zone $arg_key zone=z:1m quota=50/hour;', set => 1,
                  at => '2027-05-05 11:59:57');

    my $l = load($g, '/?key=load', connections => 32, seconds => 5);

    cmp_ok($l->{codes}{429}, '>', 100, 'there was a load');
    is($l->{codes}{204}, 100, 'each window admits its quota');

    # killed workers and reloads change nothing

    kill('KILL', $g->workers);
    ok(wait_for(sub { get($g, '/?key=load')->{code} == 429 }),
       'nor after a kill');
    ok($g->reload(config('tbucket_zone $arg_key zone=z:1m quota=51/hour;')),
       'reloaded');
    is(join(' ', map { get($g, '/?key=load')->{code} } 1 .. 2), '204 429',
       'what was used stays so, and what is new is there');
    ok($g->reload(config('tbucket_zone $arg_key zone=z:2m quota=51/hour;')),
       'reloaded with another size');
    is(get($g, '/?key=load')->{code}, 429, 'likewise');
    ok($g->reload(config('tbucket_zone $arg_key zone=z:2m quota=51/day;')),
       'reloaded with another period');
    is(get($g, '/?key=load')->{code}, 204, 'which begins anew');
    is($g->quit, 0, 'nginx stops');
};


subtest 'a restart' => sub {
    my $g = start('tbucket_store sqlite:%%DIR%%/store/clients.db interval=100ms;
                   tbucket_zone $arg_key zone=z:1m quota=3/day;
                   tbucket_zone $arg_key zone=open:1m inflight=1;',
                  set => 1, at => '2027-05-05 12:00:00');

    ask($g, '/', 204, {}, 'noon') for 1, 2;
    is($g->quit, 0, 'nginx stops');
    clock('2027-05-05 23:59:00');
    $g->start;
    ask($g, '/', 204, { ratelimit => qr/^"z";r=0;t=(?:60|5\d)$/ },
        'what was used is remembered');
    ask($g, '/', 429, {}, 'and no more');
    is($g->quit, 0, 'nginx stops');
    clock('2027-05-06 00:00:01');
    $g->start;
    ask($g, '/', 204, { ratelimit => qr/^"z";r=2;t=863\d\d$/ },
        'until the window is over');
    is($g->quit, 0, 'nginx stops');
};


subtest 'variables and the other headers' => sub {
    my $g = start('tbucket_zone $arg_key zone=z:1m quota=2/day;', set => 1,
                  at => '2027-05-05 23:00:00');

    like(ask($g, '/vars', 200, {}, 'admitted')->{body},
         qr/^PASSED 2 1 3(?:600|59\d) $/, 'variables');
    ask($g, '/legacy', 204, { 'x-ratelimit-limit' => 2,
                              'x-ratelimit-remaining' => 0,
                              'x-ratelimit-reset' => qr/^3(?:600|59\d)$/ },
        'legacy');
    ask($g, '/legacy', 429, { 'x-ratelimit-reset' => qr/^3(?:600|59\d)$/,
                              'retry-after' => qr/^3(?:600|59\d)$/ },
        'legacy');
};


subtest 'in units' => sub {
    my $g = start('tbucket_zone $arg_key zone=z:1m quota=1000000000/month '
                  . 'unit=1000 tz=Asia/Kathmandu;',
                  at => '2027-05-31 18:14:00');

    ask($g, '/?cost=999999000', 204, { 'ratelimit-policy'
                                         => '"z";q=1000000000;w=2678400',
                                       ratelimit => qr/^"z";r=1000;t=\d\d$/ },
        'nearly all');
    ask($g, '/?cost=1001', 429, { 'retry-after' => qr/^\d\d$/ }, 'too much');
    ask($g, '/?cost=1000', 204, { ratelimit => qr/^"z";r=0;t=\d\d$/ },
        'the rest');
};

done_testing();
