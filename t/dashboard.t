# The status page of conf/dashboard in a real browser, with conf/nginx.conf
# behind it: what it shows, what it changes, and what it says of what it cannot
# have.  SCREENSHOT=docs/status.png has the picture of the README taken, after a
# minute.

use v5.28;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Clients qw(api put);
use Gateway;
use Gateway::Browser;
use Gateway::Example qw(example);
use JSON::PP ();
use Test::More;

my $why = Gateway::Browser->missing;
plan skip_all => $why if $why;

my @b = map { backend(name => $_) } qw(a b c);
my @servers = map { qr/127\.0\.0\.1:900$_\b/, $b[$_ - 1]->address } 1 .. 3;
my @ports = (qr/listen 8080/, 'listen 127.0.0.1:%%PORT%%',
             qr/127\.0\.0\.1:8081/, '127.0.0.1:%%PORT_admin%%');

my $text = example('nginx.conf', @ports, @servers);
my $g = gateway($text, workers => 2);
my $admin = $g->port('admin');
my $origin = "http://localhost:$admin/";
my $page = Gateway::Browser->new;


# Requests with these keys, again and again, until the next call.

my $traffic;

sub traffic
{
    my (@keys) = @_;

    Gateway::Process::finish($traffic) if $traffic;
    $traffic = @keys && Gateway::Process::fork_child(sub {
        while (1) {
            get($g, '/', headers => { 'X-API-Key' => $_ }) for @keys;
            select(undef, undef, undef, 0.05);
        }
    });
}


# Whether an element is all in the window, as long as nobody scrolls.

sub in_sight
{
    my ($selector) = @_;

    return $page->js(<<"END");
        (() => {
            const box = document.querySelector('$selector')
                .getBoundingClientRect();
            return box.height > 0 && box.top >= 0
                && box.bottom <= innerHeight && scrollY === 0;
        })()
END
}


sub no_scroll_bar
{
    my ($what) = @_;

    is($page->js('document.documentElement.scrollWidth - innerWidth'), 0,
       "no horizontal scroll bar: $what");
}


sub accessible
{
    my ($what) = @_;

    my @wrong = @{ $page->axe };
    is(scalar @wrong, 0, "axe-core has nothing to say: $what")
        or diag(join("\n", @wrong));
}


sub shown_json
{
    my ($uri) = @_;

    return JSON::PP::decode_json(api($admin, 'GET', $uri)->{body});
}


sub server_state { return shown_json("/upstreams/backend/servers/$_[0]")
                          ->{state} }


# Presses Tab until the focus is on what an expression says.

sub tab_to
{
    my ($expression) = @_;

    for (1 .. 60) {
        $page->press('Tab');
        return 1 if $page->js("(() => { const it = document.activeElement;"
                              . " return Boolean($expression) })()");
    }

    return 0;
}


put($admin, 'heavy', 5, 1);
put($admin, 'light', 1000, 1000);

subtest 'the two answers are on the first screen, in seconds' => sub {
    $page->open($origin);
    ok($page->sees('#out', qr/None of 3 servers/), 'all is well');
    ok($page->sees('#limited', qr/nobody is refused/), 'for all');
    ok($page->sees('#live', qr/live/), 'as of now');

    $b[1]->kill;
    traffic('heavy', 'light');

    my $where = $b[1]->address;
    ok($page->sees('#out', qr/1 of 3 servers is out\.\s+\Q$where\E of b/, 5),
       'which server is out');
    like($page->text('#out'), qr/is down: connect\(\) failed/, 'and why');
    ok($page->sees('#limited', qr/1 client is refused\.\s+heavy/, 5),
       'which client is limited');
    ok(in_sight($_), "$_ is in sight")
        for '#out', '#limited', '#upstreams', '#zones', '#top', '#id';

    ok($page->sees('#zones', qr{\d passed/s\s+[\d.]+ refused/s}), 'rates');
    ok($page->sees('#zones', qr{\d buckets? \S+ 2 clients}),
       'the zone');
    ok($page->sees('#zones', qr/store up/), 'and its store');
    ok($page->until('document.querySelector("#zones .refused")'
                    . '.getAttribute("points").split(" ").length > 2'),
       'with a plot');
    ok($page->sees('#top', qr/since \d\d:\d\d:\d\d.*heavy\s+[\d.]+\s+\d+/s),
       'who is refused most');
    unlike($page->text('#top'), qr/light/, 'and not who is not');
    accessible('light');
    $page->scheme('dark');
    accessible('dark');

    if ($ENV{SCREENSHOT}) {
        $page->scheme('light');
        $page->fill('#id', 'heavy');
        $page->click('#search button');
        $page->js('new Promise((done) => setTimeout(done, 55000))');
        $page->shot($ENV{SCREENSHOT});
    }
};

subtest 'a client that is drained is in the list of those refused' => sub {
    is($page->js('document.querySelectorAll("#top tbody tr").length'), 1,
       'there is one');
    traffic('heavy', ('made-up') x 5);  # by its address, as it is not known
    ok($page->sees('#top', qr/127\.0\.0\.1/, 5), 'within 5 seconds');
    $page->click('#top tr:last-child button');
    ok($page->sees('#card', qr/127\.0\.0\.1.*those of the zone/s),
       'it leads to what it has left');
    ok($page->sees('#top', qr/heavy\s+[1-9][\d.]*\s/), 'with a rate');
    accessible('with a list');
    traffic('heavy', 'light');
};

subtest 'clients refused most, as the API tells of them' => sub {
    $page->answer('**/clients?top=*', { contentType => 'application/json',
        body => JSON::PP::encode_json({ since => time, top => [
            { client_id => 'heavy', rejected => 7000, requests => 8000,
              error => 0 },
            { client_id => '<i>2001:db8::/64', rejected => 12, requests => 20,
              error => 3 } ] }) });
    ok($page->sees('#top', qr/heavy.*7,000.*8,000.*<i>2001:db8::\/64.*12/s),
       'they are listed, with their IDs as they are');
    accessible('with a table');
    $page->click('#top button');
    ok($page->sees('#card', qr/heavy.*1 tokens\/s, at most 5/s),
       'and lead to what they have left');

    $page->pass('**/clients?top=*');
    $page->answer('**/clients?top=*', { status => 400,
        body => '{"code":400,"message":"unknown argument \"top\""}' });
    ok($page->sees('#top', qr/does not tell/), '400 is that it does not');
    is($page->text('#notices'), '', 'and no failure');
    $page->pass('**/clients?top=*');
};

subtest 'a server is drained by a click' => sub {
    my $where = $b[0]->address;

    $page->click("button[aria-label='Drain $where']");
    like($page->text('#confirm'), qr/Drain \Q$where\E in backend\?/,
         'it asks before');
    like($page->text('#confirm'), qr/no new requests.*1 server is left/s,
         'and says what will be');
    is(server_state(1), 'up', 'nothing is done before');
    accessible('a dialog');
    $page->click('#go');
    ok($page->sees('#out', qr/\Q$where\E of backend is draining/, 5),
       'it is shown');
    is(server_state(1), 'draining', 'it drains');

    $page->answer('**/servers/1', { status => 409,
        body => '{"code":409,"message":"it is being removed"}' });
    $page->click("button[aria-label='Bring up $where']");
    $page->click('#go');
    ok($page->sees('#confirm', qr/it is being removed/),
       'an error is shown in the API\'s words');
    $page->pass('**/servers/1');
    $page->click('#go');
    ok($page->until('!document.querySelector("#confirm").open'),
       'and may be tried again');
    is(server_state(1), 'up', 'with success');
};

subtest 'a client is looked up and gets other limits' => sub {
    $page->fill('#id', 'heavy');
    $page->click('#search button');
    ok($page->sees('#card', qr/of 5 tokens left|it is refused/), 'its tokens');

    $page->fill('[name=capacity]', '0');
    $page->click('#edit .main');
    ok($page->sees('#confirm', qr/capacity 0\..*So far: capacity 5/s),
       'what will be, and what was');
    $page->click('#go');
    ok($page->sees('#confirm-error', qr/capacity/), 'the API\'s own error');
    $page->click('#cancel');

    $page->fill('[name=capacity]', '50');
    $page->click('#edit .main');
    $page->click('#go');
    ok($page->sees('#card', qr/at most 50/), 'it is shown');
    is(shown_json('/clients/heavy')->{capacity}, 50, 'it is in force');
    is(shown_json('/clients/heavy')->{rate_per_sec}, 1, 'and no more');

    $page->click('#refill');
    $page->click('#go');
    ok($page->until('!document.querySelector("#confirm").open'), 'a refill');
    cmp_ok(shown_json('/clients/heavy')->{tokens}, '>', 25, 'fills it');

    $page->fill('#id', 'nobody');
    $page->click('#search button');
    ok($page->sees('#found', qr/Nobody of this ID/), 'who is not known');
    $page->fill('[name=capacity]', '7');
    $page->fill('[name=rate_per_sec]', '0.5');
    $page->click('#edit .main');
    $page->click('#go');
    ok($page->sees('#card', qr{0\.5 tokens/s, at most 7}), 'may be registered');
    $page->click('#remove');
    $page->click('#go');
    ok($page->sees('#found', qr/Nobody/), 'and removed');
    is(api($admin, 'GET', '/clients/nobody')->{code}, 404, 'by the API');
};

subtest 'no ID gets into the page as HTML' => sub {
    my $id = '<img src=x onerror=alert(1)>"\'&amp; ../';
    my $uri = '/clients?client_id='
              . $id =~ s/(\W)/sprintf '%%%02X', ord $1/ger;

    is(api($admin, 'PUT', $uri, { capacity => 3, rate_per_sec => 1 })->{code},
       201, 'it is registered');
    $page->fill('#id', $id);
    $page->click('#search button');
    ok($page->sees('#card', qr/\Q$id\E/), 'it is shown');
    is($page->js('document.querySelectorAll("img").length'), 0, 'as text');
};

subtest 'it works by keyboard alone' => sub {
    my $where = $b[2]->address;

    $page->open($origin);
    ok($page->sees('#upstreams', qr/\Q$where/), 'it is there');
    $page->press('Tab');
    is($page->js('document.activeElement.textContent'),
       'Skip to the upstreams', 'the list can be gone to at once');
    $page->press('Enter');
    ok(tab_to("it.ariaLabel === 'Drain $where'"), 'a button gets the focus');
    isnt($page->js('getComputedStyle(document.activeElement).outlineStyle'),
         'none', 'which is seen');
    $page->press('Enter');
    is($page->js('document.activeElement.id'), 'cancel', 'a dialog takes it');
    $page->press('Escape');
    is($page->js("document.activeElement.ariaLabel"), "Drain $where",
       'and gives it back');
    $page->press('Enter', 'Tab', 'Enter');
    ok($page->sees('#out', qr/\Q$where\E of backend is draining/), 'it drains');
    ok($page->until("document.activeElement.ariaLabel === 'Bring up $where'"),
       'the focus is where that is taken back');
    $page->press('Enter', 'Tab', 'Enter');
    ok($page->until("document.activeElement.ariaLabel === 'Drain $where'"),
       'which it is');

    ok(tab_to("it.id === 'id'"), 'the search gets the focus');
    $page->type('heavy');
    $page->press('Enter');
    ok($page->sees('#card', qr/heavy/), 'and finds');
    ok(tab_to("it.name === 'capacity'"), 'the limits are next');
};

subtest 'a narrow screen' => sub {
    for my $scheme ('light', 'dark') {
        $page->open($origin, width => 390, height => 844, scheme => $scheme);
        ok($page->sees('#out', qr/out\./), "$scheme: it is there");
        ok(in_sight($_), "$_ is in sight") for '#out', '#limited';
        $page->fill('#id', 'heavy');
        $page->click('#search button');
        ok($page->sees('#card', qr/tokens/), 'with a client');
        no_scroll_bar("$scheme, with a client");
        accessible("$scheme and narrow");
    }
    $page->click("button[aria-label='Drain @{[ $b[2]->address ]}']");
    no_scroll_bar('with a dialog');
    $page->resize(320, 600);
    no_scroll_bar('of 320 pixels');
};

subtest 'hidden, it asks nothing' => sub {
    my $set = sub { $page->js(<<"END") };
        Object.defineProperty(document, 'hidden',
                              {value: $_[0], configurable: true});
        document.dispatchEvent(new Event('visibilitychange'));
END
    my $asked = sub { scalar @{ $page->requests } };

    $page->open($origin);
    ok($page->sees('#live', qr/live/), 'it asks');
    $set->('true');
    ok($page->sees('#live', qr/paused/), 'it is paused');
    $page->js('new Promise((done) => setTimeout(done, 500))');
    my $n = $asked->();
    $page->js('new Promise((done) => setTimeout(done, 2500))');
    is($asked->(), $n, 'nothing is asked');
    $set->('false');
    ok($page->sees('#live', qr/live/), 'until it is looked at');
    cmp_ok($asked->(), '>', $n, 'and asks again');
};

subtest 'an API that cannot be reached is named' => sub {
    $page->answer('**/upstreams', undef);
    ok($page->sees('#notices', qr/upstreams API cannot be reached: .* \d\d:/),
       'one of them');
    unlike($page->text('#notices'), qr/clients API/, 'alone');
    like($page->text('#out'), qr/out\. That was at \d\d:/, 'with its time');
    ok($page->sees('#upstreams', qr/backend/), 'what was known is still there');
    accessible('without an API');
    $page->pass('**/upstreams');
    ok($page->until('!document.querySelector("#notices").textContent'),
       'until it is back');

    $page->answer('**/upstreams', { status => 403, body => '<h1>no</h1>' });
    ok($page->sees('#notices', qr/upstreams API .*403 Forbidden/),
       'what another says in its place');
    $page->pass('**/upstreams');

    traffic();
    $g->stop;
    ok($page->sees('#live', qr/no answer/), 'all of them');
    ok($page->sees('#notices', qr/clients API cannot be reached/), 'by name');
    $g->start;
    ok($page->sees('#live', qr/live/), 'until they are back');
};

subtest 'read-only, it offers nothing to be changed' => sub {
    ok($g->reload($text =~ s/ write=on//gr), 'both APIs are');
    $page->open($origin);
    ok($page->sees('#notices', qr/read-only/), 'it says so');
    $page->fill('#id', 'heavy');
    $page->click('#search button');
    ok($page->sees('#card', qr/heavy/), 'it still shows');
    is($page->js(<<'END'), 0, 'without a button that would change something');
        [...document.querySelectorAll('.actions button, #edit button')]
            .filter((button) => button.checkVisibility()).length
END
    accessible('read-only');

    ok($g->reload($text =~ s/lb_api\K write=on//r), 'one of them');
    $page->open($origin);
    ok($page->sees('#notices', qr/The upstreams API is read-only/), 'is named');
    $g->reload($text);
};

subtest 'one module alone' => sub {
    ok($g->reload($text =~ s/location \/clients \{.*?\}//sr
                        =~ s/location = \/metrics\/tbucket \{.*?\}//sr),
       'no limiter');
    $page->open($origin);
    ok($page->sees('#limited', qr/no limiter here/), 'is said');
    ok($page->sees('#out', qr/servers/), 'of the balancer there is all');
    is($page->text('#notices'), '', 'and nothing is wrong');
    $g->reload($text);
};

subtest '1,000 servers and 100 zones' => sub {
    my @many = map { { id => $_, address => "10.0.@{[ $_ >> 8 ]}."
        . ($_ & 255) . ':80', state => $_ % 400 ? 'up' : 'down',
        reason => $_ % 400 ? '' : 'status 500', weight => 1, active => 0,
        requests => $_, failures => 0, response_time_ms => 1,
        last_check => undef } } 1 .. 1000;
    my $json = JSON::PP::encode_json({ upstreams => [ { name => 'large',
        method => 'hash', usable => 998, total => 1000, capacity => 1024,
        retries => 0, servers => \@many } ] });
    my $metrics = join '', map { my $zone = $_; map {
        qq(tbucket_requests_total{zone="zone-$zone",result="$_"} 5\n)
    } qw(passed rejected dry_run) } 1 .. 100;

    $page->open($origin);
    $page->answer('**/upstreams', { body => $json });
    $page->answer('**/metrics/tbucket', { body => $metrics });

    ok($page->sees('#out', qr/2 of 1,000 servers are out/), 'they are there');
    ok($page->sees('#out', qr/10\.0\.1\.144:80.*10\.0\.3\.32:80/s),
       'those that are out first');
    ok(in_sight('#out'), 'in sight');
    ok($page->sees('#zones', qr/Show all 100 zones/), 'so are the zones');

    $page->click('#upstreams article > button');
    ok($page->sees('#upstreams', qr/10\.0\.3\.231:80/), 'all may be shown');
    cmp_ok($page->js(<<'END'), '<', 1000, 'and are drawn in a second');
        (() => {
            const began = performance.now();
            document.querySelector('#filter').dispatchEvent(new Event('input'));
            return performance.now() - began;
        })()
END
    $page->click('#unwell');
    is($page->js('document.querySelectorAll("#upstreams tbody tr").length'), 2,
       'or only what is not well');
    $page->click('#unwell');
    $page->fill('#filter', '10.0.2.9:80');
    is($page->js('document.querySelectorAll("#upstreams tbody tr").length'), 1,
       'or what is looked for');
    $page->fill('#filter', 'zone-77');
    is($page->js('document.querySelectorAll("#zones article").length'), 1,
       'likewise a zone');
};

subtest 'nothing is from elsewhere, nothing inline' => sub {
    $page->open($origin);
    ok($page->sees('#live', qr/live/), 'it is there');
    is(scalar(grep { !/^\Q$origin/ } @{ $page->requests }), 0,
       'no request leaves the origin');
    is("@{ $page->complaints }", '', 'the policy is kept to');

    my $r = get($admin, '/');
    like($r->{headers}{'content-security-policy'},
         qr/default-src 'none'; script-src 'self'; style-src 'self';/,
         'it is strict');
    unlike($r->{body}, qr/<style|<script(?![^>]* src=)| style=| on\w+=/,
           'no style, no script, no handler in the page');
    unlike($r->{body}, qr{https?://}, 'no other host');
};

# The address of the page is another origin for one with another port.

subtest 'a page of another origin changes and sees nothing' => sub {
    $b[0]->behave(headers => { 'Content-Type' => 'text/html' }, body => 'evil');
    $page->open('http://localhost:' . ($b[0]->address =~ /(\d+)$/)[0] . '/');

    my $body = '{"client_id":"evil","capacity":1,"rate_per_sec":1}';
    my $tried = $page->js(<<"END");
        (async () => {
            const tried = [];
            const send = (path, options) => fetch('$origin' + path, options)
                .then((r) => tried.push(r.type), () => tried.push('refused'));
            for (const type of ['text/plain', 'application/json']) {
                for (const mode of ['no-cors', 'cors']) {
                    await send('clients', {method: 'POST', mode,
                        body: '$body', headers: {'Content-Type': type}});
                }
            }
            await send('clients/evil', {method: 'PUT', body: '{}'});
            await send('clients/heavy', {method: 'DELETE'});
            await send('upstreams/backend/servers/1', {method: 'DELETE'});
            await send('upstreams', {});
            return tried.join(' ');
        })()
END
    like($tried, qr/^opaque refused opaque refused(?: refused){4}$/,
         'nothing can be read');
    is(api($admin, 'GET', '/clients/evil')->{code}, 404, 'nobody is made');
    is(api($admin, 'GET', '/clients/heavy')->{code}, 200, 'nor removed');
    is(server_state(1), 'up', 'no server either');
};

done_testing();
