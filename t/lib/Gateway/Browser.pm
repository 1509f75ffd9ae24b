package Gateway::Browser;

=head1 NAME

Gateway::Browser - a real Chromium, looking at a page

=head1 SYNOPSIS

    my $why = Gateway::Browser->missing;
    plan skip_all => $why if $why;

    my $page = Gateway::Browser->new;
    $page->open("http://localhost:$port/", width => 390, height => 800);
    $page->click('button');
    ok($page->sees('#out', qr/is down/), 'the page says so');

C<t/lib/browser> says what npm has to install, and "make suite" has it done
into build/browser.

=head1 METHODS

=over

=item open(URL, OPTIONS)

Opens a page, and forgets the one before.  Options: width, height, scheme
(light or dark).

=item js(EXPRESSION), text(SELECTOR)

The value of an expression; what an element shows.

=item sees(SELECTOR, RE, TIMEOUT), until(EXPRESSION, TIMEOUT)

Waits until an element shows, or an expression is, something.

=item click(SELECTOR), fill(SELECTOR, TEXT), press(KEYS), type(TEXT),
resize(WIDTH, HEIGHT), scheme(NAME), shot(PATH)

=item answer(PATTERN, {status, body, ...}), pass(PATTERN)

Answers requests for URLs of the pattern in place of the server; with undef,
breaks their connections.  pass ends that.

=item requests, complaints, axe

The URLs that were asked for; what a script died of, or a policy forbade; what
axe-core finds wrong.

=back

=cut

use v5.28;
use warnings;

use Cwd ();
use Gateway::Process qw(wait_for);
use IPC::Open2 qw(open2);
use JSON::PP ();
use Test::More ();

my $here = Cwd::abs_path(__FILE__ =~ s{[^/]*$}{}r . '../browser');
my $npm  = Cwd::abs_path("$here/../../..") . '/build/browser';
my $json = JSON::PP->new->utf8->canonical->allow_nonref;


sub chromium
{
    my ($path) = grep { -x } map { "$_/chromium" } split /:/, $ENV{PATH};
    return $path;
}


# Why there is no browser here, if there is none.

sub missing
{
    return 'no chromium: apt-get install chromium' if !chromium();
    return "no playwright-core in $npm: make suite installs it with npm"
        if !-d "$npm/node_modules/playwright-core";
    return undef;
}


sub new
{
    my ($class) = @_;

    my $self = bless {}, $class;

    $self->{pid} = open2(my $out, my $in, 'node', "$here/driver.mjs", $npm,
                         chromium());
    @$self{qw(in out)} = ($in, $out);

    return $self;
}


sub DESTROY
{
    my ($self) = @_;

    local $?;
    close($self->{in});
    waitpid($self->{pid}, 0);
}


sub call
{
    my ($self, $name, @args) = @_;

    my $in  = $self->{in};
    my $out = $self->{out};
    local $SIG{PIPE} = 'IGNORE';

    print $in $json->encode({ do => $name, args => \@args }), "\n";
    $in->flush;

    my $line = <$out> // die "the browser is gone\n";
    my $answer = $json->decode($line);
    die "$name: $answer->{error}\n" if defined $answer->{error};

    return $answer->{value};
}


for my $name (qw(answer axe click complaints fill js pass press requests
                 resize scheme shot type))
{
    no strict 'refs';
    *$name = sub { my $self = shift; return $self->call($name, @_) };
}


sub open
{
    my ($self, $url, %option) = @_;

    return $self->call('open', $url, {
        viewport    => { width  => $option{width} // 1280,
                         height => $option{height} // 800 },
        colorScheme => $option{scheme} // 'light',
    });
}


sub text
{
    my ($self, $selector) = @_;

    my $quoted = $json->encode($selector);

    return $self->js("document.querySelector($quoted)?.innerText ?? ''");
}


sub sees
{
    my ($self, $selector, $re, $timeout) = @_;

    my $text;
    return 1 if wait_for(sub {
        ($text = $self->text($selector)) =~ $re or nap();
    }, $timeout);

    Test::More::diag("$selector shows: $text");
    return 0;
}


sub until
{
    my ($self, $expression, $timeout) = @_;

    return wait_for(sub { $self->js("Boolean($expression)") || nap() },
                    $timeout);
}


# A page that is asked all the time has no time for anything else.

sub nap { select(undef, undef, undef, 0.1); return 0 }


1;
